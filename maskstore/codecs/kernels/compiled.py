"""How kernels are compiled: without Python's lock, once per machine where that can be kept."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled function. Its machine code is kept beside the source or in the user's cache."""
    try:
        kernel: Callable[..., Any] = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither can be written to: every process compiles its own
        kernel = njit(nogil=True)(function)
    return kernel
