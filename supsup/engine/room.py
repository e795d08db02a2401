"""Room: what fits into memory at a time, found out the hard way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Room:
    """How many lanes may train at a time, and how many rows a group may have; both only shrink."""

    def __init__(self, *, lanes: int, rows: int) -> None:
        """Begin with these."""
        self.rows = rows
        self._lanes, self._busy = lanes, 0
        self._changed = threading.Condition()

    @contextmanager
    def lane(self) -> Iterator[int]:
        """Wait for a lane, and have it; gives how many there are."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._lanes)
            self._busy += 1
            lanes = self._lanes
        try:
            yield lanes
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def shrink(self, *, lanes: int, rows: int) -> bool:
        """Halve the rows, or else the lanes, with which a group did not fit.

        Returns:
            Whether there was anything to halve.
        """
        with self._changed:
            if rows > 1:
                self.rows = min(self.rows, rows // 2)
            else:
                self._lanes = min(self._lanes, max(1, lanes // 2))
            return rows > 1 or lanes > 1


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says so; PyTorch has no class of its own for a CPU's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
