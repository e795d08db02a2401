"""A file in memory that remembers all that was done to it."""

from dataclasses import dataclass

from maskstore.errors import CorruptArchive
from maskstore.storage.raw_file import Device


@dataclass(frozen=True, slots=True)
class Write:
    """``data`` written at ``offset``."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """The file cut to ``size`` bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """Everything before is durable once this returned."""


Operation = Write | Truncate | Sync
"""What changes a file, or makes changes durable."""


@dataclass(frozen=True, slots=True)
class Read:
    """``size`` bytes asked for at ``offset``."""

    offset: int
    size: int


class MemoryDevice(Device):
    """A file in memory that remembers every operation.

    Attributes:
        content: the bytes, durable or not.
        trace: writes, truncations and syncs, in their order.
        reads: what was asked for, in its order.
    """

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.trace: list[Operation] = []
        self.reads: list[Read] = []

    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
        self.reads.append(Read(offset, size))
        data = bytes(self.content[offset : offset + size])
        if len(data) != size:
            raise CorruptArchive(f"expected {size} bytes at {offset}, the file ends before")
        return data

    def write(self, offset: int, data: bytes) -> None:
        self._do(Write(offset, bytes(data)))

    def sync(self) -> None:
        self._do(Sync())

    def truncate(self, size: int) -> None:
        self._do(Truncate(size))

    def close(self) -> None:
        pass

    def _do(self, operation: Operation) -> None:
        self.trace.append(operation)
        apply(self.content, operation)


def apply(content: bytearray, operation: Operation) -> None:
    """Carry out one operation on a file's content; a gap reads as zeros."""
    if isinstance(operation, Write) and operation.data:
        end = operation.offset + len(operation.data)
        content.extend(bytes(max(0, end - len(content))))
        content[operation.offset : end] = operation.data
    elif isinstance(operation, Truncate):
        del content[operation.size :]
