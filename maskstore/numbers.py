"""Numbers that users give: any real or integral one, kept as a plain ``float`` or ``int``.

A setting may come from JSON, from numpy or be written as ``1`` for 1.0, and all are meant alike. A
bool is none: ``lr=True`` is a slip. What is kept is plain, so that it is JSON and prints the same.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real

from maskstore.errors import InvalidInput


def parse_real(name: str, value: object, expected: str, fits: Callable[[float], bool]) -> float:
    """A number as a float.

    Args:
        name: of the setting, for the error.
        expected: what fits, in words.
        fits: whether a float does; NaN should not.

    Raises:
        InvalidInput: no number, a bool, or one that does not fit; the message names the setting.

    >>> parse_real("momentum", 0, "a number in [0, 1)", lambda x: 0 <= x < 1)
    0.0
    """
    number = math.nan
    # A bool is an Integral to Python.
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an int beyond every float
            number = math.nan
    if not fits(number):
        raise InvalidInput(f"{name}: expected {expected}, got {value!r}")
    return number


def parse_positive(name: str, value: object) -> float:
    """A finite number above 0; raises InvalidInput, naming the setting, on anything else."""
    return parse_real(name, value, "a positive number", lambda x: 0.0 < x < math.inf)


def parse_share(name: str, value: object) -> float:
    """A number in (0, 1]; raises InvalidInput, naming the setting, on anything else."""
    return parse_real(name, value, "a number in (0, 1]", lambda x: 0.0 < x <= 1.0)


def parse_whole(
    name: str, value: object, *, least: int = 1, most: int | None = None, expected: str = ""
) -> int:
    """A whole number as an int.

    Args:
        name: of the setting, for the error.
        least, most: bounds, both allowed; None for no upper one.
        expected: what fits, in words; by default ``a whole number from LEAST``.

    Raises:
        InvalidInput: no integer, a bool, or out of bounds. ``2.0`` is no integer.

    >>> parse_whole("steps", 10)
    10
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    number = int(value) if whole else least - 1  # type: ignore[call-overload]
    if number < least or (most is not None and number > most):
        upper = "" if most is None else f" to {most}"
        raise InvalidInput(
            f"{name}: expected {expected or f'a whole number from {least}{upper}'}, got {value!r}"
        )
    return number
