"""Hebb's rule: W += ξξᵀ/d (Hopfield, 1982). Capacity about 0.138 d random patterns."""

import numpy as np
from jaxtyping import Int8

from hopfield.rules.base import MatrixMemory


class HebbMemory(MatrixMemory):
    """The sum of outer products."""

    rule = "hebb"

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        z = self._parse(pattern)
        self.matrix += np.outer(z, z) / np.float32(self.size)
        np.fill_diagonal(self.matrix, 0)
        self.count += 1
