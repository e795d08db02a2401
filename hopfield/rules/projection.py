"""The projection (pseudo-inverse) rule: any d linearly independent patterns are fixed points.

W projects onto the span of the patterns (Personnaz, Guyon and Dreyfus, 1985); self-coupling is left
out, which keeps them fixed points (each h_i = (1 - P_ii) ξ_i) and widens their basins.
"""

import numpy as np
from jaxtyping import Float32, Int8

from hopfield.rules.base import take
from hopfield.rules.dense import MatrixMemory

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
        outside = self._parse(pattern).astype(np.float64)
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
