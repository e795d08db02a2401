"""The projection (pseudo-inverse) rule: any d linearly independent patterns are fixed points.

W projects onto the span of the patterns (Personnaz, Guyon and Dreyfus, 1985); self-coupling is left
out, which keeps them fixed points (each h_i = (1 - P_ii) ξ_i) and widens their basins.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int8

from hopfield.rules.base import take
from hopfield.rules.dense import MatrixMemory
from hopfield.rules.packed import PackedMemory

DEPENDENT = 1e-6
"""A pattern with less than this share of its square outside the span is held already."""


class ProjectionMemory(MatrixMemory):
    """Grown one pattern at a time: the part of it outside the span adds one outer product.

    Attributes:
        diagonal: P_ii, which the matrix leaves out but the next pattern needs.
    """

    rule = "projection"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.diagonal: Float32[np.ndarray, " unit"] = np.zeros(size, np.float32)

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        outside = self.parse(pattern).astype(np.float64)
        # Twice: what rounding leaves inside the span would grow with the number of patterns.
        for _ in range(2):
            outside -= self._times(outside) + self.diagonal * outside
        squared = float(np.dot(outside, outside))
        if squared > DEPENDENT * self.size:
            unit = (outside / squared**0.5).astype(np.float32)
            for rows in self._rows():
                self.weights[rows] += np.outer(unit[rows], unit)
            np.fill_diagonal(self.weights, 0)
            self.diagonal += unit * unit
        self.count += 1

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"diagonal": self.diagonal}

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "ProjectionMemory":
        diagonal = take(state, "diagonal", np.float32, (size,))
        memory = super().from_state(size, count, state)
        assert isinstance(memory, ProjectionMemory)
        memory.diagonal = diagonal.copy()
        return memory


class PackedProjectionMemory(PackedMemory):
    """Without a matrix: A inverts the Gram matrix of the independent patterns, 0 for the others.

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
