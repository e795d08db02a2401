"""Quadratic memories without a matrix: W is made from packed patterns whenever it is needed.

W = (Z - a)ᵀ A (Z - a) less its diagonal, with a K × K matrix A of the rule, so that a product with
W costs 2Kd steps instead of d² and the patterns take d/8 bytes each: the size of explicit storage,
which for fewer than d/2 patterns is smaller than even a matrix of one-byte weights.
"""

from abc import abstractmethod

import numpy as np
from jaxtyping import Float, Float64, Int8

from hopfield.rules.base import QuadraticMemory, take
from hopfield.rules.packed_patterns import PackedPatterns


class PackedMemory(QuadraticMemory):
    """The same energy, field and dynamics as the rule's dense form."""

    form = "packed"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._patterns = PackedPatterns(size)

    @abstractmethod
    def _mix(self, overlaps: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " pattern"]:
        """A times the overlaps."""

    @abstractmethod
    def _diagonal(self) -> float | Float64[np.ndarray, " unit"]:
        """What (Z - a)ᵀA(Z - a) has on its diagonal and W has not."""

    @abstractmethod
    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        """Prepare A for one more pattern, not yet among the packed ones."""

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        self._learn(self.parse(pattern))
        self._patterns.append(pattern)
        self.count += 1

    @property
    def centre(self) -> float:
        return 0.0

    @property
    def bias(self) -> float:
        return 0.0

    def product(self, x: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        overlaps = self._patterns.overlaps(x) - self.centre * x.sum()
        return self._back(overlaps) - self._diagonal() * x

    def coupling(self, unit: int) -> Float64[np.ndarray, " unit"]:
        column = self._back(self._patterns.unit(unit) - self.centre)
        column[unit] = 0
        return column

    def state(self) -> dict[str, np.ndarray]:
        return {"packed": self._patterns.rows}

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "PackedMemory":
        packed = take(state, "packed", np.uint8, (count, (size + 7) // 8))
        memory = cls(size)
        # A is learned again from the patterns, so that no file can contradict itself.
        rows = PackedPatterns(size)
        rows.extend(packed)
        for index in range(count):
            memory.encode(rows.pattern(index))
        return memory

    def _back(self, overlaps: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " unit"]:
        weights = self._mix(overlaps)
        return self._patterns.combine(weights) - self.centre * weights.sum()
