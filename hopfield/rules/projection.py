"""The projection (pseudo-inverse) rule: any d linearly independent patterns are fixed points.

W projects onto the span of the patterns (Personnaz, Guyon and Dreyfus, 1985); self-coupling is left
out, which keeps them fixed points (each h_i = (1 - P_ii) ξ_i) and widens their basins.
"""

import numpy as np
from jaxtyping import Float32, Int8

from hopfield.rules.base import MatrixMemory, take

_DEPENDENT = 1e-6


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
        z = self._parse(pattern)
        outside = z - (self.matrix @ z + self.diagonal * z)
        squared = float(np.dot(outside, outside))
        # A pattern inside the span is held already.
        if squared > _DEPENDENT * self.size:
            unit = outside / np.float32(squared**0.5)
            self.matrix += np.outer(unit, unit)
            np.fill_diagonal(self.matrix, 0)
            self.diagonal += unit * unit
        self.count += 1

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"diagonal": self.diagonal}

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.diagonal.nbytes

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "ProjectionMemory":
        diagonal = take(state, "diagonal", np.float32, (size,))
        memory = super().from_state(size, count, state)
        assert isinstance(memory, ProjectionMemory)
        memory.diagonal = diagonal.copy()
        return memory
