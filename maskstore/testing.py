"""Storage that fails on purpose: records every write and sync, and replays what a crash leaves.

The model: a write is durable once a later sync returned; until then it may be on disk or not, in
any order, whole or torn at sector boundaries. Truncation is a write of the length. One sector is
written whole or not at all, as disks promise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

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


class MemoryDevice(Device):
    """A file in memory that remembers every operation."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.trace: list[Operation] = []

    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
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


def crash_states(
    durable: bytes, pending: Sequence[Operation], rng: np.random.Generator, *, samples: int
) -> Iterator[tuple[str, bytes]]:
    """What a crash may leave of the operations since the last sync: (kind, content).

    All of them, none, all but one each, and ``samples`` random subsets in random order, whole and
    torn at 512 and 4,096 bytes.
    """

    def after(operations: Sequence[Operation]) -> bytes:
        content = bytearray(durable)
        for operation in operations:
            apply(content, operation)
        return bytes(content)

    yield "prefix", after(pending)
    if not pending:
        return
    yield "none", durable
    for missing in range(len(pending)):
        yield "dropped", after([*pending[:missing], *pending[missing + 1 :]])
    for _ in range(samples):
        kept = [operation for operation in pending if rng.random() < 0.5]
        yield "reordered", after([kept[at] for at in rng.permutation(len(kept))])
        for sector in (512, 4096):
            pieces = [piece for operation in pending for piece in _tear(operation, sector)]
            yield f"torn at {sector}", after([piece for piece in pieces if rng.random() < 0.5])


def _tear(operation: Operation, sector: int) -> Iterator[Operation]:
    if not isinstance(operation, Write):
        yield operation
        return
    start, end = operation.offset, operation.offset + len(operation.data)
    while start < end:
        stop = min(end, (start // sector + 1) * sector)
        yield Write(start, operation.data[start - operation.offset : stop - operation.offset])
        start = stop
