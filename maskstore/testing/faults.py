"""Devices that refuse: one call or all from it on, and syncs after which pages are forgotten."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from maskstore.errors import ArchiveError, ArchiveWriteError, CorruptArchive
from maskstore.testing.devices import MemoryDevice, Operation, Sync, apply


class ErringDevice(MemoryDevice):
    """Refuses one call, or all from one on.

    Attributes:
        left: calls until then; it can be set anew, and is positive where it has not come to it.
    """

    def __init__(
        self, content: bytes, at: int, *, for_good: bool = False, reads: bool = True
    ) -> None:
        """Begin.

        Args:
            at: number of the call, from 1.
            for_good: whether those after it are refused, too.
            reads: whether reads and questions of the size are counted and refused, too.
        """
        super().__init__(content)
        self.left, self.for_good, self.with_reads = at, for_good, reads

    def _call(self, error: type[ArchiveError]) -> None:
        self.left -= 1
        if self.left == 0 or (self.for_good and self.left < 0):
            raise error("the disk did not answer")

    def read(self, offset: int, size: int) -> bytes:
        if self.with_reads:
            self._call(CorruptArchive)
        return super().read(offset, size)

    def size(self) -> int:
        if self.with_reads:
            self._call(CorruptArchive)
        return super().size()

    def _do(self, operation: Operation) -> None:
        self._call(ArchiveWriteError)
        super()._do(operation)


Reached = Callable[[Operation], bool]
"""Whether an operation reached the disk though the sync after it failed."""


class CachedDevice(MemoryDevice):
    """A file whose pages are kept by the system; ``disk`` is what a power loss leaves.

    A sync that fails forgets that pages were never written, as Linux does: later ones write only
    what was changed since.
    """

    def __init__(
        self, cached: bytes, disk: bytes, failures: Mapping[int, Reached] | None = None
    ) -> None:
        """Begin.

        Args:
            cached: what reads find.
            failures: number of a sync, from 1 → what of the pages is on the disk though it failed.
        """
        super().__init__(cached)
        self.disk = bytearray(disk)
        self.failures = failures or {}
        self.syncs = 0
        self._dirty: list[Operation] = []

    def _do(self, operation: Operation) -> None:
        if not isinstance(operation, Sync):
            super()._do(operation)
            self._dirty.append(operation)
            return
        self.syncs += 1
        reached = self.failures.get(self.syncs)
        for each in self._dirty:
            if reached is None or reached(each):
                apply(self.disk, each)
        self._dirty.clear()
        if reached is not None:
            raise ArchiveWriteError("the disk did not answer")

    def power_losses(self) -> Iterator[bytes]:
        """What a loss of power may leave now: nothing or all of what is dirty, or one of it."""
        for kept in (0, len(self._dirty)):
            yield self._after(self._dirty[:kept])
        for each in self._dirty:
            yield self._after([each])

    def _after(self, operations: Sequence[Operation]) -> bytes:
        content = bytearray(self.disk)
        for each in operations:
            apply(content, each)
        return bytes(content)
