"""What a loss of power may leave of a file, at every operation that a device recorded.

The model: a write is durable once a later sync returned; until then it may be on disk or not, in
any order, whole or torn at sector boundaries. Truncation is a write of the length. One sector is
written whole or not at all, as disks promise.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from maskstore.testing.devices import Operation, Sync, Write, apply


def power_losses(
    trace: Sequence[Operation], *, start: int = 0, stride: int = 1, samples: int = 2, seed: int = 0
) -> Iterator[tuple[int, str, bytes]]:
    """Every state after every operation of a new file: (operations done, kind, content).

    Args:
        start: operations that are done before the power may go.
        stride: each so many operations it goes.
        samples: random subsets at each place; see :func:`crash_states`.
        seed: of them.
    """
    rng = np.random.default_rng(seed)
    durable, pending = bytearray(), list[Operation]()
    for done in range(len(trace) + 1):
        if done >= start and done % stride == 0:
            for kind, content in crash_states(bytes(durable), pending, rng, samples=samples):
                yield done, kind, content
        if done < len(trace):
            pending.append(trace[done])
            if isinstance(trace[done], Sync):
                for each in pending:
                    apply(durable, each)
                pending = []


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
