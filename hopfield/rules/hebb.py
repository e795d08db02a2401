"""Hebb's rule: W += ξξᵀ/d (Hopfield, 1982). Capacity about 0.138 d random patterns."""

import numpy as np
from jaxtyping import Float64, Int8

from hopfield.rules.base import take
from hopfield.rules.dense import MatrixMemory, fill_from_upper, upper_of
from hopfield.rules.packed import PackedMemory


class HebbMemory(MatrixMemory):
    """The sum of outer products, in whole numbers: exact, and the same in any order.

    The file keeps, for each pair of units, in how many of the patterns they agree.
    """

    rule = "hebb"

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        z = self._parse(pattern).astype(np.float32)
        for rows in self._rows():
            self.weights[rows] += np.outer(z[rows], z)
        np.fill_diagonal(self.weights, 0)
        self.count += 1

    @property
    def scale(self) -> float:
        return 1 / self.size

    def state(self) -> dict[str, np.ndarray]:
        agreements = (upper_of(self.weights) + np.float32(self.count)) / 2
        return {"agreements": agreements.astype(np.min_scalar_type(self.count))}

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "HebbMemory":
        kind = np.min_scalar_type(count).type
        agreements = take(state, "agreements", kind, (size * (size - 1) // 2,))
        memory = cls(size)
        fill_from_upper(memory.weights, 2 * agreements.astype(np.float32) - np.float32(count))
        memory.count = count
        return memory


class PackedHebbMemory(PackedMemory):
    """A = 1/d."""

    rule = "hebb"

    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        pass

    def _mix(self, overlaps: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " pattern"]:
        return overlaps / self.size

    def _diagonal(self) -> float:
        return self.count / self.size
