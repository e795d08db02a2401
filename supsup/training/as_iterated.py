"""Training that goes on as it is iterated, and says so where nobody asked for anything.

Python says nothing where a generator is called and dropped; of training, that would be masks that
somebody believes to have.
"""

import warnings
from collections.abc import Callable, Generator, Iterator
from functools import wraps
from typing import Generic, ParamSpec, TypeVar

Made = TypeVar("Made")
Arguments = ParamSpec("Arguments")


class AsIterated(Iterator[Made], Generic[Made]):
    """What a generator function gives; where it is dropped before it is asked, it warns.

    Attributes:
        call: the function, as the warning names it.
        instead: what to call to have it all done at once.
    """

    def __init__(self, given: Generator[Made, None, None], call: str, instead: str) -> None:
        self._given = given
        self._asked = False
        self.call = call
        self.instead = instead

    def __next__(self) -> Made:
        self._asked = True
        return next(self._given)

    def close(self) -> None:
        """End what is under way; nothing more is given."""
        self._asked = True
        self._given.close()

    def __del__(self) -> None:
        if not self._asked:
            warnings.warn(
                f"{self.call}: nothing was trained, as it trains when it is iterated and never "
                f"was; {self.instead}",
                RuntimeWarning,
                stacklevel=2,
            )


def as_iterated(
    instead: str,
) -> Callable[
    [Callable[Arguments, Generator[Made, None, None]]], Callable[Arguments, AsIterated[Made]]
]:
    """Make a generator function warn where nobody iterates what it gives."""

    def decorate(
        function: Callable[Arguments, Generator[Made, None, None]],
    ) -> Callable[Arguments, AsIterated[Made]]:
        @wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> AsIterated[Made]:
            return AsIterated(function(*args, **kwargs), function.__name__, instead)

        return call

    return decorate
