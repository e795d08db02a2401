"""Which class of which task has data like these: a linear discriminant over all classes at once.

With class means μ_c and one covariance Σ, log p(x | c) = φᵀΣ⁻¹μ_c - ½ μ_cᵀΣ⁻¹μ_c + what is the same
for all classes: one matrix product for any number of tasks, no gradient, no order, no replay
(streaming linear discriminant analysis, Hayes and Kanan, 2020).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from maskstore.errors import InvalidInput
from supsup.inference.prototypes.statistics import ClassMeans, PooledCovariance


class PrototypeModel:
    """The discriminant of K tasks.

    Attributes:
        weights, bias: of every class, task after task.
        starts: the first class of each task, and the end of all.
    """

    def __init__(self, means: Sequence[ClassMeans], covariance: PooledCovariance) -> None:
        """Invert the covariance once; raises InvalidInput where there is nothing to go by."""
        if not means:
            raise InvalidInput("prototypes: there is no task")
        size = means[0].means.shape[1]
        within = covariance.regular(size, means)
        every = np.concatenate([each.means for each in means]).astype(np.float64)
        self.starts: Int64[np.ndarray, " bound"] = np.cumsum(
            [0, *(len(each.means) for each in means)]
        )
        solved = np.linalg.solve(within, every.T)
        self.weights: Float32[np.ndarray, "feature label"] = solved.astype(np.float32)
        bias = -0.5 * (every.T * solved).sum(0)
        self.bias: Float32[np.ndarray, " label"] = bias.astype(np.float32)
        # Of all images together, whatever their class: one normal distribution.
        counts = np.concatenate([each.counts for each in means]).astype(np.float64)
        self._middle: Float64[np.ndarray, " feature"] = counts @ every / counts.sum()
        away = every - self._middle
        of_all = within + (away * (counts / counts.sum())[:, None]).T @ away
        self._within_inverse: Float64[np.ndarray, "feature feature"] = np.linalg.inv(within)
        self._of_all_inverse: Float64[np.ndarray, "feature feature"] = np.linalg.inv(of_all)

    @property
    def task_count(self) -> int:
        """K."""
        return len(self.starts) - 1

    def class_scores(
        self, features: Float32[np.ndarray, "batch feature"]
    ) -> Float32[np.ndarray, "batch label"]:
        """log p(x | class), up to what is the same for all classes of an image."""
        return features @ self.weights + self.bias

    def task_scores(
        self, features: Float32[np.ndarray, "batch feature"]
    ) -> Float64[np.ndarray, "batch task"]:
        """log p(x | task): the mean of its classes' densities, up to the same of all tasks."""
        scores = torch.from_numpy(self.class_scores(features))
        found = torch.empty((len(scores), self.task_count), dtype=torch.float32, device="cpu")
        counts = np.diff(self.starts)
        for count in np.unique(counts).tolist():  # nearly always one: all tasks at once
            which = np.flatnonzero(counts == count)
            columns = (self.starts[which][:, None] + np.arange(count)).ravel()
            part = scores if len(which) == len(counts) else scores[:, columns]
            each = part.reshape(len(scores), len(which), count).logsumexp(2)
            found[:, which] = each - math.log(count)
        return found.numpy().astype(np.float64)

    def distances(
        self, features: Float32[np.ndarray, "batch feature"], tasks: Int64[np.ndarray, " batch"]
    ) -> tuple[Float64[np.ndarray, " batch"], Float64[np.ndarray, " batch"]]:
        """(relative, near): how far each image is from the nearest class of the task named for it.

        Near is the squared Mahalanobis distance; relative is that less the distance from all
        classes as one normal distribution (Ren et al., 2021).
        """
        wide = features.astype(np.float64)
        near = ((wide @ self._within_inverse) * wide).sum(1) - 2 * self._best(features, tasks)
        away = wide - self._middle
        return near - ((away @ self._of_all_inverse) * away).sum(1), near

    def _best(
        self, features: Float32[np.ndarray, "batch feature"], tasks: Int64[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, " batch"]:
        """The score of the likeliest class of the task named for each image, of no other task."""
        first, counts = self.starts[tasks], np.diff(self.starts)[tasks]
        best = np.full(len(tasks), -np.inf, np.float32)
        for place in range(counts.max(initial=0)):
            (has,) = np.nonzero(place < counts)
            label = first[has] + place
            score = np.einsum("bf,fb->b", features[has], self.weights[:, label])
            best[has] = np.maximum(best[has], score + self.bias[label])
        return best
