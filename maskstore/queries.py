"""Questions about stored masks: which tasks, how two of them differ, how much all share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from maskstore import bits
from maskstore.access import require_archive
from maskstore.errors import InvalidInput, TaskNotFound
from maskstore.notebook import Shown, counted, first_names
from maskstore.packed import StoredTask
from maskstore.reader import ArchiveReader
from maskstore.registry import check_one_of, did_you_mean


def select(archive: ArchiveReader, pattern: str | None) -> list[str]:
    """The names of the tasks that a pattern matches, in order of arrival.

    Args:
        pattern: a task's name, or with ``*``, ``?`` and ``[…]`` as in a shell; None for all.

    Raises:
        TaskNotFound: it matches none.
    """
    require_archive(archive)
    names = archive.names()
    if pattern is None:
        return names
    if pattern in archive:  # whose name may have a bracket
        return [pattern]
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise TaskNotFound(
            f"{archive.path}: no task of {len(names)} is called {pattern!r} or matches it"
            f"{did_you_mean(pattern, names)}; `supsup-store list` shows them"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """Two masks on a layer, or on all of them: counts of weights.

    Attributes:
        bits: weights that a mask covers.
        first, second: those that each keeps.
        both: those that both keep.
        hamming: those that one keeps and the other does not.
        jaccard: ``both`` over those that either keeps; 1 for two empty masks.
    """

    layer: str
    bits: int
    first: int
    second: int
    both: int
    hamming: int
    jaccard: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDifference:
    """Two tasks of an archive beside each other.

    Attributes:
        first, second: their names.
        total: all layers as one.
        layers: each layer, in storage order.
        metadata: path of what differs → what each has, None where it has nothing there.
        tensors: names of those that only one has, or that differ in shape, type or values.
    """

    first: str
    second: str
    total: LayerDifference
    layers: tuple[LayerDifference, ...]
    metadata: dict[str, tuple[Any, Any]]
    tensors: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``diff --json``."""
        pairs = {key: list(pair) for key, pair in self.metadata.items()}
        lists = {"layers": [asdict(each) for each in self.layers], "tensors": [*self.tensors]}
        return asdict(self) | lists | {"metadata": pairs}


def diff_tasks(archive: ArchiveReader, first: str, second: str) -> TaskDifference:
    """What the masks of two tasks share, layer by layer, and how their metadata differ.

    Raises:
        TaskNotFound: there is no such task.
        CorruptArchive: a mask is damaged.
    """
    tasks = archive.task(first), archive.task(second)
    packed = [archive.get_packed(name) for name in (first, second)]
    layers = [
        _layer(name, count, *(each[where] for each in packed))
        for name, _, where, count in archive.layout.layers()
    ]
    kept = [_paths(task.metadata) for task in tasks]
    return TaskDifference(
        first=first,
        second=second,
        total=_layer("all", archive.layout.bits, *packed),
        layers=tuple(layers),
        metadata={
            path: (kept[0].get(path), kept[1].get(path))
            for path in {**kept[0], **kept[1]}
            if kept[0].get(path, kept) != kept[1].get(path, kept)
        },
        tensors=_other_tensors(archive, *tasks),
    )


def _other_tensors(
    archive: ArchiveReader, first: StoredTask, second: StoredTask
) -> tuple[str, ...]:
    kinds = [
        {each.name: (each.shape, each.dtype) for each in task.tensors} for task in (first, second)
    ]
    values = [archive.tensors(task.name) for task in (first, second)]
    return tuple(
        name
        for name in {**kinds[0], **kinds[1]}
        if kinds[0].get(name) != kinds[1].get(name)
        or values[0][name].tobytes() != values[1][name].tobytes()
    )


def _layer(name: str, count: int, *packed: np.ndarray) -> LayerDifference:
    first, second = map(bits.bits_over, packed)
    both, ones = bits.overlap(first, second), (int(first.count()), int(second.count()))
    either = sum(ones) - both
    return LayerDifference(
        layer=name,
        bits=count,
        first=ones[0],
        second=ones[1],
        both=both,
        hamming=either - both,
        jaccard=both / either if either else 1.0,
    )


def _paths(metadata: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Every value of metadata by its path, lists whole."""
    found: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, dict) and value:
            found |= _paths(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = value
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Overlap(Shown):
    """How much K masks share.

    Attributes:
        names: of the tasks.
        layer: the layer that was looked at; None for all.
        both: K × K counts of weights that two masks keep; a mask's own on the diagonal.
    """

    names: tuple[str, ...]
    layer: str | None
    both: Int64[np.ndarray, "task task"]

    def _shown(self) -> str:
        where = "" if self.layer is None else f" in {self.layer}"
        return f"{counted(len(self.names), 'mask')}{where}: {first_names(self.names)}"

    @property
    def jaccard(self) -> Float64[np.ndarray, "task task"]:
        """``both`` over the weights that either keeps, 0 to 1; 1 for two empty masks."""
        own = np.diag(self.both)
        either = own[:, None] + own[None, :] - self.both
        return np.where(either > 0, self.both / np.maximum(either, 1), 1.0)

    def nearest(self) -> list[tuple[str, str | None, float | None]]:
        """Of each task the one that shares most with it, and how much; None for a single task."""
        shares = self.jaccard.copy()
        np.fill_diagonal(shares, -1.0)
        best = shares.argmax(1)
        if len(self.names) == 1:
            return [(self.names[0], None, None)]
        return [
            (name, self.names[at], float(row[at]))
            for name, at, row in zip(self.names, best, shares, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """A document of ``overlap --json``."""
        return {
            "tasks": list(self.names),
            "layer": self.layer,
            "both": self.both.tolist(),
            "jaccard": self.jaccard.tolist(),
        }


def overlap_of(
    archive: ArchiveReader, names: Sequence[str] | None = None, *, layer: str | None = None
) -> Overlap:
    """How much the masks of some tasks share: a bit a weight in memory, two by two.

    Args:
        names: None for all tasks.
        layer: only this one.

    Raises:
        TaskNotFound, CorruptArchive: as :meth:`ArchiveReader.get`.
        InvalidInput: there is no such layer, or no task.
    """
    where = slice(0, archive.layout.packed_bytes)
    if layer is not None:
        check_one_of("layer", layer, archive.layout.shapes)
        where = next(at for name, _, at, _ in archive.layout.layers() if name == layer)
    masks = archive.packed(names)
    if not len(masks):
        raise InvalidInput(f"{archive.path}: no masks to compare; add some first")
    rows = [bits.bits_over(row[where]) for row in masks.bits]
    both = np.zeros((len(rows), len(rows)), np.int64)
    for at, row in enumerate(rows):
        for other in range(at, len(rows)):
            both[at, other] = both[other, at] = bits.overlap(row, rows[other])
    return Overlap(names=masks.names, layer=layer, both=both)
