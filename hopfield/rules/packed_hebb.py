"""Hebb's rule without a matrix: Wx = (Zᵀ(Zx) - Kx)/d."""

import numpy as np
from jaxtyping import Float64, Int8

from hopfield.rules.packed import PackedMemory


class PackedHebbMemory(PackedMemory):
    """A = 1/d."""

    rule = "hebb"

    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        pass

    def _mix(self, overlaps: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " pattern"]:
        return overlaps / self.size

    def _diagonal(self) -> float:
        return self.count / self.size
