"""Whether data are like any that prototypes are of: what is usual, from images that were kept back.

Two distances of an image say that it is strange: from the class that it is nearest to (Mahalanobis;
large for noise and other data sets), and that distance less the one from all classes taken as one
normal distribution (relative Mahalanobis, Ren et al., 2021: large for other classes of the same
kind). Each in units of what is usual, the relative one and half of the other are added: the sum
tells near strangers and far ones, which neither does alone (docs/results/unknown_tasks.md).
"""

from dataclasses import astuple, dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from maskstore.errors import CorruptArchive
from supsup.inference.ood import USUAL_SHARE

_NEAR_WEIGHT = 0.5
"""Of the distance from the class beside the relative one, chosen on held-out training images."""


@dataclass(frozen=True, slots=True)
class UsualDistances:
    """What images of the tasks, not among those that the means are of, are like.

    Attributes:
        relative, near: means of the two distances.
        relative_unit, near_unit: from the mean to what 95% of the images do not pass, above 0.
        bar: of the weighted sum of both, so that 95% of the images are not above it.
    """

    relative: float
    relative_unit: float
    near: float
    near_unit: float
    bar: float

    @classmethod
    def of(
        cls, relative: Float64[np.ndarray, " image"], near: Float64[np.ndarray, " image"]
    ) -> "UsualDistances | None":
        """From distances of images that were kept back; None where they are all the same."""
        units = [np.quantile(each, USUAL_SHARE) - each.mean() for each in (relative, near)]
        if min(units) <= 0:
            return None
        without_bar = cls(
            relative=float(relative.mean()),
            relative_unit=float(units[0]),
            near=float(near.mean()),
            near_unit=float(units[1]),
            bar=1.0,
        )
        bar = float(np.quantile(without_bar.strangeness(relative, near), USUAL_SHARE))
        return replace(without_bar, bar=bar) if bar > 0 else None

    def strangeness(
        self, relative: Float64[np.ndarray, " image"], near: Float64[np.ndarray, " image"]
    ) -> Float64[np.ndarray, " image"]:
        """0 in the mean of the tasks' own images; 95% of them are not above 1."""
        first = (relative - self.relative) / self.relative_unit
        return (first + _NEAR_WEIGHT * (near - self.near) / self.near_unit) / self.bar

    def encode(self) -> Float32[np.ndarray, " 5"]:
        """As an archive keeps it, the attributes in their order."""
        return np.array(astuple(self), np.float32)

    @classmethod
    def decode(cls, values: np.ndarray) -> "UsualDistances":
        """The inverse of :meth:`encode`; raises CorruptArchive where these are none."""
        if values.shape != (5,) or not np.isfinite(values).all() or min(values[[1, 3, 4]]) <= 0:
            raise CorruptArchive("prototypes: what is usual for strangers is no such numbers")
        return cls(*(float(value) for value in values))
