"""Hebb's rule: W += ξξᵀ/d (Hopfield, 1982). Capacity about 0.138 d random patterns."""

import numpy as np
from jaxtyping import Float64, Int8

from hopfield.rules.dense import OuterProductMemory
from hopfield.rules.packed import PackedMemory


class HebbMemory(OuterProductMemory):
    """The sum of outer products and nothing else."""

    rule = "hebb"

    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        pass


class PackedHebbMemory(PackedMemory):
    """Without a matrix: A = 1/d, so Wx = (Zᵀ(Zx) - Kx)/d."""

    rule = "hebb"

    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        pass

    def _mix(self, overlaps: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " pattern"]:
        return overlaps / self.size

    def _diagonal(self) -> float:
        return self.count / self.size
