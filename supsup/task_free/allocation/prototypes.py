"""Prototypes: a batch is a mask's if its class means are those of the mask's own images.

No mask is run: what decides is what the data look like. Features are those of the method
``prototypes`` (:mod:`supsup.inference.prototypes`). With class means x̄ of n images in the batch, μ
of N images that the mask has learnt from, and W the covariance within classes, pooled over all
masks, n N / (n + N) · (x̄ - μ)ᵀ W⁻¹ (x̄ - μ) has a χ² distribution of as many degrees of freedom as
there are features where the batch is of the mask's task (Hotelling's two-sample statistic, whose
covariance is known). Its sum over the classes, divided by the degrees of freedom, is near 1 then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_real
from supsup.inference import MaskBank
from supsup.inference.prototypes import FeatureRecipe, Features
from supsup.networks.backbone import Backbone
from supsup.task_free.allocation.base import Allocation, Verdict

_RIDGE = 1e-3
"""Of the mean variance, as the method ``prototypes`` has it."""
_RIPE = 5
"""Images for each feature from which the pooled covariance is good enough: of twice the ratio that
it has of infinitely many."""


class _Seen:
    """Sums over the images that masks have learnt from: for each mask and class, and in all."""

    def __init__(self, features: Features, classes: int) -> None:
        size = features.recipe.size
        self.features = features
        self.sums: Float64[np.ndarray, "mask label feature"] = np.zeros((0, classes, size))
        self.counts: Float64[np.ndarray, "mask label"] = np.zeros((0, classes))
        self.second: Float64[np.ndarray, "feature feature"] = np.zeros((size, size))

    def add(self, mask: int, x: Tensor, y: Tensor) -> None:
        missing = mask + 1 - len(self.sums)
        if missing > 0:
            self.sums = np.pad(self.sums, ((0, missing), (0, 0), (0, 0)))
            self.counts = np.pad(self.counts, ((0, missing), (0, 0)))
        wide = self.features(x).astype(np.float64)
        labels = y.cpu().numpy()
        np.add.at(self.sums[mask], labels, wide)
        np.add.at(self.counts[mask], labels, 1)
        self.second += wide.T @ wide

    def ratios(self, x: Tensor, y: Tensor) -> Float64[np.ndarray, " mask"]:
        """The statistic of a batch over its degrees of freedom, for each mask; inf for one that has
        seen none of the classes."""
        seen = self.counts > 0
        means = self.sums / np.maximum(self.counts, 1)[:, :, None]
        freedom = max(self.counts.sum() - seen.sum(), 1)
        of_means = np.einsum("mcf,mcg->fg", self.sums, means, optimize=True)
        within = (self.second - of_means) / freedom
        within += np.eye(len(within)) * (_RIDGE * np.trace(within) / len(within) + 1e-9)
        inverse = np.linalg.inv(within)
        wide, labels = self.features(x).astype(np.float64), y.cpu().numpy()
        here = np.unique(labels)
        counts = np.array([(labels == label).sum() for label in here])
        own = np.stack([wide[labels == label].mean(0) for label in here])
        away = own - means[:, here]
        distances = ((away @ inverse) * away).sum(2)
        theirs = self.counts[:, here]
        weighted = np.where(theirs > 0, counts * theirs / (counts + theirs) * distances, 0)
        degrees = len(within) * (theirs > 0).sum(1)
        return np.where(degrees > 0, weighted.sum(1) / np.maximum(degrees, 1), np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototypes(Allocation):
    """The mask of the nearest class means, if the batch lies as near as chance has it.

    It needs neither what masks say nor how they were trained, and as little of a mask as a few
    batches. On batches of 128 images of known tasks the ratio was at most 1.9 from the tenth batch
    of the first mask on, of new tasks of SplitMNIST, SplitFashionMNIST and PermutedMNIST at least 8
    (docs/results/nns.md). It is of one stream, as its learner is.

    Attributes:
        ratio: of the statistic to its degrees of freedom, above 1, from which a batch is new.
        size: of a feature vector.

    Raises:
        InvalidInput: the ratio or the size is out of range.
    """

    name: ClassVar[str] = "prototypes"
    confirm: ClassVar[int] = 3
    ratio: float = 3.0
    size: int = 248
    _seen: list[_Seen] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ratio = parse_real("ratio", self.ratio, "a number above 1", lambda x: x > 1)
        object.__setattr__(self, "ratio", ratio)
        FeatureRecipe(size=self.size)

    def begin(self, backbone: Backbone, classes: int) -> None:
        self._seen[:] = [_Seen(Features(FeatureRecipe(size=self.size), backbone), classes)]

    def learnt(self, mask: int, x: Float[Tensor, "batch ..."], y: Int64[Tensor, " batch"]) -> None:
        self._seen[0].add(mask, x, y)

    def judge(
        self,
        bank: MaskBank,
        levels: Float64[np.ndarray, " task"],
        x: Float[Tensor, "batch ..."],
        y: Int64[Tensor, " batch"],
    ) -> Verdict:
        ratios = self._seen[0].ratios(x, y)
        best = int(ratios.argmin())
        return Verdict(mask=best, known=bool(ratios[best] < self.ratio))

    def doubts(self, loss: float, level: float, classes: int) -> bool:
        return True  # one matrix product: every batch is looked at

    def ripe(self, level: float, classes: int) -> bool:
        seen = self._seen[0]
        return bool(seen.counts.sum() >= _RIPE * len(seen.second))

    def arrays(self) -> dict[str, np.ndarray]:
        seen = self._seen[0]
        return {"sums": seen.sums, "counts": seen.counts, "second": seen.second}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        seen = self._seen[0]
        fits = arrays.keys() == {"sums", "counts", "second"} and (
            arrays["sums"].shape[1:] == seen.sums.shape[1:]
            and arrays["counts"].shape == arrays["sums"].shape[:2]
            and arrays["second"].shape == seen.second.shape
        )
        if not fits:
            raise InvalidInput("allocation prototypes: statistics of other features or classes")
        seen.sums, seen.counts, seen.second = (
            np.array(arrays[name], np.float64) for name in ("sums", "counts", "second")
        )
