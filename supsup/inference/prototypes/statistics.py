"""What is known of tasks' data: class means of features, and their pooled covariance.

Means are each task's own. The covariance within classes is nearly the same for all tasks, so it is
kept once, a sum of whole numbers over a recorded set of tasks: in whatever order tasks come, or
archives are merged, the sum is the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from maskstore.errors import CorruptArchive, InvalidInput

_STEPS = 1 << 10
"""Parts of 1 that a covariance is rounded to: finer ones find no more tasks."""
_RIDGE = 1e-3
"""Of the mean variance, the least that is added to every variance."""
_BEHIND = 8
"""Bytes of a class behind its means: scale (float32), then images (uint32), little-endian."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassMeans:
    """Of one task, for each class: mean feature vector and number of images.

    Attributes:
        means: rounded to 127ths of each class's largest number, as they are kept.
        counts: training images, at least 1.
    """

    means: Float32[np.ndarray, "label feature"]
    counts: Int64[np.ndarray, " label"]

    def encode(self) -> UInt8[np.ndarray, "label byte"]:
        """A row of bytes for each class: one a feature, the scale, the count."""
        scale = np.abs(self.means).max(1) / np.float32(127)
        steps = np.rint(self.means / np.where(scale == 0, 1, scale)[:, None]).astype(np.int8)
        tail = [scale.astype("<f4")[:, None], self.counts.astype("<u4")[:, None]]
        return np.concatenate([steps.view(np.uint8), *(part.view(np.uint8) for part in tail)], 1)

    @classmethod
    def decode(cls, rows: UInt8[np.ndarray, "label byte"], size: int) -> "ClassMeans":
        """The inverse of :meth:`encode`; raises CorruptArchive where it is of other features."""
        if rows.ndim != 2 or rows.shape[1] != size + _BEHIND:
            raise CorruptArchive(
                f"prototypes: expected rows of {size + _BEHIND} bytes, found shape {rows.shape}"
            )
        steps = np.ascontiguousarray(rows[:, :size]).view(np.int8).astype(np.float32)
        scale = np.ascontiguousarray(rows[:, size : size + 4]).view("<f4")
        counts = np.ascontiguousarray(rows[:, size + 4 :]).view("<u4")[:, 0].astype(np.int64)
        if not np.isfinite(scale).all() or not (counts > 0).all():
            raise CorruptArchive("prototypes: a scale or a count of images is no number")
        return cls(means=steps * scale.astype(np.float32), counts=counts)


def measure(
    batches: Iterable[tuple[Float32[np.ndarray, "_ feature"], Int64[np.ndarray, " _"]]],
    *,
    classes: int,
    size: int,
    task: str,
) -> tuple[ClassMeans, Int64[np.ndarray, " pair"]]:
    """(class means, covariance within classes) of one task's features, in one pass.

    The covariance, over all classes with their own means, is the upper triangle row after row in
    steps of 1/1024.

    Raises:
        InvalidInput: a class has no image.
    """
    counts = np.zeros(classes, np.int64)
    sums = np.zeros((classes, size))
    second = np.zeros((size, size))
    for values, labels in batches:
        wide = values.astype(np.float64)
        np.add.at(sums, labels, wide)
        counts += np.bincount(labels, minlength=classes)
        second += wide.T @ wide
    if not counts.all():
        raise InvalidInput(
            f"task {task!r}: class {int(np.argmin(counts))} has no training image, "
            "so there is nothing to know it by"
        )
    means = sums / counts[:, None]
    within = (second - (means * counts[:, None]).T @ means) / counts.sum()
    steps = np.rint(within[np.triu_indices(size)] * _STEPS).astype(np.int64)
    raw = ClassMeans(means=means.astype(np.float32), counts=counts)
    return ClassMeans.decode(raw.encode(), size), steps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PooledCovariance:
    """A sum of tasks' covariances, and of which tasks it is.

    Attributes:
        total: whole steps, upper triangle.
        tasks: the first 60 bits of the sha256 of each task's mask, as a number.
    """

    total: Int64[np.ndarray, " pair"]
    tasks: frozenset[int]

    @classmethod
    def empty(cls, size: int) -> "PooledCovariance":
        """Of no task."""
        return cls(total=np.zeros(size * (size + 1) // 2, np.int64), tasks=frozenset())

    def joined(self, other: "PooledCovariance") -> "PooledCovariance":
        """The sum of both where no task is in both; else the one of more tasks."""
        if self.tasks & other.tasks:
            return max(self, other, key=lambda each: len(each.tasks))
        return PooledCovariance(total=self.total + other.total, tasks=self.tasks | other.tasks)

    def matrix(self, size: int) -> Float64[np.ndarray, "size size"]:
        """The mean covariance.

        Raises:
            InvalidInput: of no task.
        """
        if not self.tasks:
            raise InvalidInput("prototypes: no covariance is known; add prototypes of a task")
        whole = np.zeros((size, size))
        whole[np.triu_indices(size)] = self.total / (_STEPS * len(self.tasks))
        return whole + np.triu(whole, 1).T

    def regular(self, size: int, means: Sequence[ClassMeans]) -> Float64[np.ndarray, "size size"]:
        """The mean covariance with a ridge, so that it can be inverted however few the images are.

        The inverse of a covariance of about as many images as features is nothing but noise. With
        40 images in each of SplitMNIST's tasks the task of 0.20 of single images was found, as by
        chance; with this ridge, the square of features over images, of 0.79. From 5 to 400 images a
        class the best ridge from 0.001 to 1 found at most 0.02 more (SplitMNIST, PermutedMNIST and
        RotatedMNIST, images held out from the package's training images). From 32 images a feature
        on it changes nothing. Directions that rounding alone may have made, or turned below 0, get
        besides what rounding can do.

        Args:
            means: of tasks that have as many images, on average, as those that the sum is of.

        Raises:
            InvalidInput: of no task.
        """
        within = self.matrix(size)
        images = float(np.mean([each.counts.sum() - len(each.counts) for each in means]))
        few = (size / max(images * len(self.tasks), 1.0)) ** 2
        ridge = np.trace(within) / size * max(_RIDGE, few) + 1e-9
        # The largest eigenvalue of a symmetric matrix of independent rounding errors (Wigner).
        rounding = 2 * np.sqrt(size / (12 * len(self.tasks))) / _STEPS
        if not _is_positive(within + (ridge - rounding) * np.eye(size)):
            ridge += rounding
        return within + ridge * np.eye(size)


def _is_positive(matrix: Float64[np.ndarray, "size size"]) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def key_of(sha256: str) -> int:
    """A mask as the set of tasks records it."""
    return int(sha256[:15], 16)
