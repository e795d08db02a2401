"""The projection rule without a matrix: P = Zᵀ(ZZᵀ)⁻¹Z, by the K × K Gram matrix ZZᵀ."""

import numpy as np
from jaxtyping import Float64, Int8

from hopfield.rules.packed import PackedMemory
from hopfield.rules.projection import DEPENDENT


class PackedProjectionMemory(PackedMemory):
    """A is the inverse of the Gram matrix of the independent patterns, 0 for the others.

    The Gram matrix's entries are whole numbers, counted from the bits. Its Cholesky factor L, and
    here L⁻¹, grow by a row with each pattern, so earlier ones are read once and not changed.
    """

    rule = "projection"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._basis: list[int] = []
        self._inverse: Float64[np.ndarray, "basis basis"] = np.zeros((0, 0))
        self._known_diagonal: Float64[np.ndarray, " unit"] | None = np.zeros(size)

    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        gram = self._patterns.agreement(pattern)[self._basis]
        inside = self._inverse @ gram
        squared = self.size - float(np.dot(inside, inside))
        if squared > DEPENDENT * self.size:
            rank = len(self._basis)
            grown = np.zeros((rank + 1, rank + 1))
            grown[:rank, :rank] = self._inverse
            grown[rank, :rank] = -(inside @ self._inverse) / squared**0.5
            grown[rank, rank] = 1 / squared**0.5
            self._inverse = grown
            self._basis.append(self.count)
            self._known_diagonal = None

    def _mix(self, overlaps: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " pattern"]:
        mixed = np.zeros(self.count)
        mixed[self._basis] = self._inverse.T @ (self._inverse @ overlaps[self._basis])
        return mixed

    def _diagonal(self) -> Float64[np.ndarray, " unit"]:
        if self._known_diagonal is None:
            diagonal = np.empty(self.size)
            for units, bits in self._patterns.chunks(np.array(self._basis)):
                directions = self._inverse @ (2 * bits - 1)
                diagonal[units] = (directions**2).sum(0)
            self._known_diagonal = diagonal
        return self._known_diagonal
