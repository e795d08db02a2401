"""Names of a package that are imported when they are first asked for (PEP 562).

torch takes seconds to import, and whoever asks for little (the command line's ``--help``,
the names of what there is to choose) should not wait for it. Nor should whoever trains no residual
net on the processor wait for numba: what it compiles, it compiles when it is first called.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Generic, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    Type checkers do not run them: under ``TYPE_CHECKING`` the package imports the same names, and
    a test proves that they are the same.

    Args:
        package: its ``__name__``.
        homes: module → the names that it defines.
        modules: those below it that are to be had as its attributes.
    """
    where = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")  # which makes it an attribute
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(where[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        # What completion offers: neither what the package needed to import, nor this module's.
        own = vars(sys.modules[package])
        dunder = {name for name in own if name.startswith("__")}
        return sorted({*dunder, *where, *modules, *own["__all__"]})

    return get, names


class Compiled(Generic[Parameters, Result]):
    """A function that numba compiles when it is first called; no compiled one may call it."""

    def __init__(self, function: Callable[Parameters, Result], options: Mapping[str, Any]) -> None:
        """Remember what to compile, and numba's options."""
        self.__doc__, self.__name__ = function.__doc__, function.__name__
        self._function, self._options = function, options
        self._kernel: Callable[Parameters, Result] | None = None

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if self._kernel is None:
            from numba import njit

            self._kernel = njit(**self._options)(self._function)
        return self._kernel(*args, **kwargs)


def compiled(
    **options: Any,
) -> Callable[[Callable[Parameters, Result]], Compiled[Parameters, Result]]:
    """A decorator: compiled without Python's lock, and kept on disk, as numba's options say.

    Args:
        options: further ones of :func:`numba.njit`.
    """
    return lambda function: Compiled(function, {"nogil": True, "cache": True, **options})
