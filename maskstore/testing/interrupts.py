"""Ctrl-C between any two instructions of some work, its traceback kept, as a notebook keeps it."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

INSIDE = ("maskstore", "threading.py", "contextlib.py")
"""Parts of paths: what is interrupted, and what Python does for it."""


class _Interrupter:
    """Raises KeyboardInterrupt before one of the instructions that the given files run."""

    def __init__(self, at: int, inside: tuple[str, ...]) -> None:
        self.left, self.inside = at, inside

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in self.inside):
            return None
        frame.f_trace_opcodes = True
        return self._within

    def _within(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Called at each instruction of such a file: the less is done here, the better."""
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._within


def interrupted(
    work: Callable[[], object], at: int, *, inside: tuple[str, ...] = INSIDE
) -> BaseException | None:
    """What came of work that is interrupted before its ``at``-th instruction.

    Args:
        work: runs in this thread; others are not interrupted.
        at: from 1.
        inside: parts of the paths of the sources whose instructions count.

    Returns:
        What it raised; None where it was over before.
    """
    tracer = _Interrupter(at, inside)
    sys.settrace(tracer)
    try:
        work()
    except BaseException as error:
        return error
    finally:
        sys.settrace(None)
    # The interrupt may have come where Python cannot raise, as in a callback: it was then printed.
    return None if tracer.left > 0 else KeyboardInterrupt()


def instructions(work: Callable[[], object], *, inside: tuple[str, ...] = INSIDE) -> int:
    """How many instructions the work runs: each is a place for :func:`interrupted`.

    Raises:
        Exception: what the work raises.
    """
    tracer = _Interrupter(sys.maxsize, inside)
    sys.settrace(tracer)
    try:
        work()
    finally:
        sys.settrace(None)
    return sys.maxsize - tracer.left
