"""Storkey's rule (1997), the paper's: incremental and local, capacity about d / √(2 ln d)."""

import numpy as np
from jaxtyping import Int8

from hopfield.rules.dense import MatrixMemory


class StorkeyMemory(MatrixMemory):
    """W_ij += (ξ_i ξ_j - ξ_i h_ji - h_ij ξ_j)/d with h_ij = Σ_{k≠i,j} W_ik ξ_k.

    As W is symmetric without a diagonal and ξ² = 1, h_ij = h_i - W_ij ξ_j with h = Wξ, and the
    update is (ξξᵀ - ξhᵀ - hξᵀ + 2W)/d: one matrix-vector product and two outer products.
    """

    rule = "storkey"

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        z = self.parse(pattern).astype(np.float32)
        scale = np.float32(1 / self.size)
        # (ξξᵀ - ξhᵀ - hξᵀ)/d = uξᵀ + ξuᵀ with u = (ξ/2 - h)/d: symmetric to the last bit, as the
        # file keeps one triangle only.
        u = scale * (z / 2 - self.weights @ z)
        for rows in self._rows():
            self.weights[rows] *= 1 + 2 * scale
            self.weights[rows] += np.outer(u[rows], z) + np.outer(z[rows], u)
        np.fill_diagonal(self.weights, 0)
        self.count += 1
