"""Bytes: what the tasks of an archive cost, beside the bounds and a dense model each."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from maskstore.archive import MaskArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveStats:
    """The figures of ``stats``. Per-task figures are None while there is no task.

    Attributes:
        file_bytes: length of the file.
        payload_bytes: stored bytes of the coded masks alone.
        bytes_per_task: ``file_bytes`` over the number of tasks: header, index, names and slack
            count.
        bits_per_weight: the same in bits, over the bits of a mask.
        bitpacked_bytes_per_task: one mask at one bit a weight.
        entropy_bytes_per_task: mean over tasks of d·H(ones/d), the bound for independent bits.
        dense_bytes_per_task: a dense float32 model of the backbone.
        ratio_to_dense: dense bytes over ours.
        by_codec: codec → {tasks, bytes} of the payloads.
    """

    tasks: int
    bits_per_mask: int
    file_bytes: int
    payload_bytes: int
    bytes_per_task: float | None
    bits_per_weight: float | None
    bitpacked_bytes_per_task: int
    entropy_bytes_per_task: float | None
    dense_bytes_per_task: int
    ratio_to_dense: float | None
    by_codec: dict[str, dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The document of ``stats --json``."""
        return asdict(self)


def binary_entropy(p: float) -> float:
    """H(p) in bits."""
    return 0.0 if p in (0.0, 1.0) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def archive_stats(archive: MaskArchive) -> ArchiveStats:
    """Figures from the index alone; no mask is decoded."""
    tasks = list(archive)
    layout = archive.layout
    by_codec: dict[str, dict[str, int]] = {}
    for task in tasks:
        figures = by_codec.setdefault(task.codec, {"tasks": 0, "bytes": 0})
        figures["tasks"] += 1
        figures["bytes"] += task.bytes
    dense = 4 * (archive.parameters or layout.bits)
    mean = archive.file_bytes / len(tasks) if tasks else None
    # A forged row may claim more ones than bits; `verify` says so.
    densities = [min(task.ones, layout.bits) / layout.bits for task in tasks]
    entropy = sum(layout.bits * binary_entropy(density) / 8 for density in densities)
    return ArchiveStats(
        tasks=len(tasks),
        bits_per_mask=layout.bits,
        file_bytes=archive.file_bytes,
        payload_bytes=sum(task.bytes for task in tasks),
        bytes_per_task=mean,
        bits_per_weight=None if mean is None else 8 * mean / layout.bits,
        bitpacked_bytes_per_task=layout.packed_bytes,
        entropy_bytes_per_task=entropy / len(tasks) if tasks else None,
        dense_bytes_per_task=dense,
        ratio_to_dense=None if mean is None else dense / mean,
        by_codec=by_codec,
    )
