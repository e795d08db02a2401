"""Bytes: what the tasks of an archive cost, beside the bounds and a dense model each."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from maskstore import codecs
from maskstore.access import require_archive
from maskstore.archive import MaskArchive
from maskstore.layout import count_ones
from maskstore.storage.format import ROW_BYTES
from maskstore.storage.index import Entry

FLOAT32_BYTES = 4

WEIGHTS_SET = "weights"
"""The set of shared tensors that holds the trained weights of the archive's network."""

NO_WEIGHTS = (
    "masks alone: the archive has no recipe of its network, so no dense model is set beside it; "
    "the weights must be kept elsewhere, and are not counted here"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveStats:
    """The figures of ``stats``. Per-task figures are None while there is no task.

    Attributes:
        file_bytes: length of the file.
        payload_bytes: stored bytes of the coded masks alone.
        tensor_bytes_per_task: mean bytes that a task's tensors take in the file: what is stored,
            checksums, and their row of the index with its text.
        shared_bytes: the same of the tensors that belong to the archive.
        weights_bytes: of weights that no seed gives back: the bytes of those in the archive, as of
            other tensors, else the size of the file that its recipe names.
        bytes_per_task: ``file_bytes``, and those of a weights file outside it, over the number of
            tasks: tensors, header, index, names and slack count.
        bits_per_weight: the same in bits, over the bits of a mask.
        bitpacked_bytes_per_task: one mask at one bit a weight.
        entropy_bytes_per_task: mean over tasks of d·H(ones/d), the bound for independent bits.
        dense_bytes_per_task: a dense float32 model of the backbone; float16 takes half.
        ratio_to_dense: dense bytes over ours; None where the archive does not say how the weights
            are regenerated: they would have to be kept with it, and the ratio would leave them out.
        ratio_without_weights: dense bytes over ours without ``weights_bytes``: what a task costs
            whoever has the weights already.
        note: why there is no ratio; None where nothing is missing.
        dense_bytes: a dense float32 model for every task.
        score_checkpoint_bytes: what the paper's code saves: the weights and every task's scores,
            all float32.
        by_codec: codec → {tasks, bytes} of the payloads.
    """

    tasks: int
    bits_per_mask: int
    file_bytes: int
    payload_bytes: int
    tensor_bytes_per_task: float | None
    shared_bytes: int
    weights_bytes: int
    bytes_per_task: float | None
    bits_per_weight: float | None
    bitpacked_bytes_per_task: int
    entropy_bytes_per_task: float | None
    dense_bytes_per_task: int
    ratio_to_dense: float | None
    ratio_without_weights: float | None
    note: str | None
    dense_bytes: int
    score_checkpoint_bytes: int
    by_codec: dict[str, dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The document of ``stats --json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskStats:
    """The figures of one task's mask, or of one layer over all tasks.

    Attributes:
        bits: bits that are coded.
        density: share of them that is set.
        bitpacked_bytes: at one bit each.
        entropy_bytes: Σ n·H(ones/n) over what it sums: tasks, or tasks of a layer.
        coded_bytes: stored bytes of the mask. Of a layer: None where a codec packs all layers as
            one; else its share of the code, to a fraction of a byte.
        bits_per_weight: coded bits over ``bits``.
        tensor_bytes: bytes that the task's tensors take in the file; 0 for a layer.
        ratio_to_float32: bytes of float32 weights, a dense model of one task or the layer's dense
            weights for each task, over ours: mask and tensors; None as of the archive.
        ratio_to_float16: half of that.
    """

    name: str
    bits: int
    density: float
    bitpacked_bytes: int
    entropy_bytes: float
    coded_bytes: float | None
    tensor_bytes: int
    bits_per_weight: float | None
    ratio_to_float32: float | None
    ratio_to_float16: float | None

    def to_json(self) -> dict[str, Any]:
        """A row of ``stats --json``."""
        return asdict(self)


def binary_entropy(p: float) -> float:
    """H(p) in bits."""
    return 0.0 if p in (0.0, 1.0) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def archive_stats(archive: MaskArchive) -> ArchiveStats:
    """Figures from the index alone; no mask is decoded.

    >>> with MaskArchive.create("counted.h5", {"w": (100, 80)}) as archive:
    ...     figures = archive_stats(archive)
    >>> figures.tasks, figures.bits_per_mask, figures.bitpacked_bytes_per_task
    (0, 8000, 1000)
    """
    require_archive(archive)
    tasks = list(archive)
    layout = archive.layout
    by_codec: dict[str, dict[str, int]] = {}
    for task in tasks:
        figures = by_codec.setdefault(task.codec, {"tasks": 0, "bytes": 0})
        figures["tasks"] += 1
        figures["bytes"] += task.bytes
    dense = _dense_bytes(archive)
    weights, outside = _weights_bytes(archive)
    mean = (archive.file_bytes + outside) / len(tasks) if tasks else None
    whole = mean is not None and _is_whole(archive)
    alone = archive.file_bytes + outside - weights
    entropy = sum(_entropy_bytes(task.ones, layout.bits) for task in tasks)
    tensors = sum(_tensor_bytes(archive, task.name) for task in tasks)
    return ArchiveStats(
        tasks=len(tasks),
        bits_per_mask=layout.bits,
        file_bytes=archive.file_bytes,
        payload_bytes=sum(task.bytes for task in tasks),
        tensor_bytes_per_task=tensors / len(tasks) if tasks else None,
        shared_bytes=sum(_row_bytes(*each) for each in archive.shared_entries.items()),
        weights_bytes=weights,
        bytes_per_task=mean,
        bits_per_weight=None if mean is None else 8 * mean / layout.bits,
        bitpacked_bytes_per_task=layout.packed_bytes,
        entropy_bytes_per_task=entropy / len(tasks) if tasks else None,
        dense_bytes_per_task=dense,
        ratio_to_dense=dense / mean if whole and mean else None,
        ratio_without_weights=dense * len(tasks) / alone if whole else None,
        note=None if _is_whole(archive) else NO_WEIGHTS,
        dense_bytes=len(tasks) * dense,
        score_checkpoint_bytes=dense + len(tasks) * FLOAT32_BYTES * layout.bits,
        by_codec=by_codec,
    )


def task_stats(archive: MaskArchive) -> Iterator[MaskStats]:
    """One row a task, in order of arrival, without its mask's row of the index; none is decoded."""
    layout, dense = archive.layout, _dense_bytes(archive)
    for task in archive:
        yield _row(
            archive,
            task.name,
            bits=layout.bits,
            ones=min(task.ones, layout.bits),
            bitpacked=layout.packed_bytes,
            entropy=_entropy_bytes(task.ones, layout.bits),
            coded=float(task.bytes),
            tensor_bytes=_tensor_bytes(archive, task.name),
            dense=dense,
        )


def layer_stats(
    archive: MaskArchive, *, on_task: Callable[[str], None] | None = None
) -> list[MaskStats]:
    """One row a layer, over all tasks; every mask is decoded.

    Args:
        on_task: called with a task's name when it is done.

    Raises:
        CorruptArchive: a mask is damaged.
    """
    layers = list(archive.layout.layers())
    ones, entropy = [0] * len(layers), [0.0] * len(layers)
    coded: list[float] | None = [0.0] * len(layers)
    for task in archive:
        packed = archive.get_packed(task.name)
        for at, (_, _, where, bits) in enumerate(layers):
            found = count_ones(packed[where])
            ones[at] += found
            entropy[at] += _entropy_bytes(found, bits)
        shares = codecs.BY_NAME[task.codec].layer_bits(
            archive.stored_bytes(task.name), archive.decoding_prior
        )
        if coded is not None and shares is not None:
            coded = [total + share / 8 for total, share in zip(coded, shares, strict=True)]
        else:
            coded = None
        if on_task is not None:
            on_task(task.name)
    return [
        _row(
            archive,
            name,
            bits=bits * len(archive),
            ones=ones[at],
            bitpacked=(where.stop - where.start) * len(archive),
            entropy=entropy[at],
            coded=None if coded is None else coded[at],
            dense=FLOAT32_BYTES * bits * len(archive),
        )
        for at, (name, _, where, bits) in enumerate(layers)
    ]


def _weights_bytes(archive: MaskArchive) -> tuple[int, int]:
    """Bytes of weights that no seed gives back, and how many of them are not in the archive.

    A recipe may come from anywhere: one that does not say how large its file is has none.
    """
    if (entry := archive.shared_entries.get(WEIGHTS_SET)) is not None:
        return _row_bytes(WEIGHTS_SET, entry), 0
    file = (archive.backbone or {}).get("weights")
    size = file.get("bytes") if isinstance(file, Mapping) else None
    size = size if type(size) is int and size > 0 else 0
    return size, size


def _is_whole(archive: MaskArchive) -> bool:
    """Whether the archive says where all weights come from."""
    return archive.backbone is not None


def _row(
    archive: MaskArchive,
    name: str,
    *,
    bits: int,
    ones: int,
    bitpacked: int,
    entropy: float,
    coded: float | None,
    dense: int,
    tensor_bytes: int = 0,
) -> MaskStats:
    ratio = dense / (coded + tensor_bytes) if coded and _is_whole(archive) else None
    return MaskStats(
        name=name,
        bits=bits,
        density=ones / max(bits, 1),
        bitpacked_bytes=bitpacked,
        entropy_bytes=entropy,
        coded_bytes=coded,
        tensor_bytes=tensor_bytes,
        bits_per_weight=None if coded is None or not bits else 8 * coded / bits,
        ratio_to_float32=ratio,
        ratio_to_float16=None if ratio is None else ratio / 2,
    )


def _tensor_bytes(archive: MaskArchive, task: str) -> int:
    entry = archive.tensor_entry(task)
    return 0 if entry is None else _row_bytes(task, entry)


def _row_bytes(name: str, entry: Entry) -> int:
    """What a row of tensors takes in the file: itself, its text, and what is stored."""
    return ROW_BYTES + len(name.encode()) + len(entry.metadata) + entry.payload_bytes


def _dense_bytes(archive: MaskArchive) -> int:
    return FLOAT32_BYTES * (archive.parameters or archive.layout.bits)


def _entropy_bytes(ones: int, bits: int) -> float:
    # A forged row may claim more ones than bits; `verify` says so.
    return bits * binary_entropy(min(ones, bits) / bits) / 8
