"""The covariance rule for patterns whose mean is not 0 (Amit, Gutfreund and Sompolinsky, 1987).

W += (ξ - a)(ξ - a)ᵀ / d, and the field acts on z - a. Mask densities of 0.33 to 0.55 are means of
-0.34 to 0.10; under Hebb's rule their common part would swamp what tells them apart.
"""

import numpy as np
from jaxtyping import Float, Int8

from hopfield.rules.base import MatrixMemory, take
from maskstore.errors import InvalidInput


class CovarianceMemory(MatrixMemory):
    """Outer products about a fixed mean ``a``.

    Attributes:
        mean: a, between -1 and 1; 2·density - 1 of the masks to come.
    """

    rule = "covariance"

    def __init__(self, size: int, mean: float = 0.0) -> None:
        super().__init__(size)
        if not -1 < mean < 1:
            raise InvalidInput(f"covariance rule: expected a mean between -1 and 1, got {mean}")
        self.mean = float(np.float32(mean))

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        z = self._parse(pattern) - np.float32(self.mean)
        self.matrix += np.outer(z, z) / np.float32(self.size)
        np.fill_diagonal(self.matrix, 0)
        self.count += 1

    def energy(self, z: Float[np.ndarray, " unit"]) -> float:
        centred = z - np.float32(self.mean)
        return float(-0.5 * np.dot(centred, self.matrix @ centred))

    def field(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        return self.matrix @ (z - np.float32(self.mean))

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"mean": np.array([self.mean], np.float32)}

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "CovarianceMemory":
        mean = float(take(state, "mean", np.float32, (1,))[0])
        memory = super().from_state(size, count, state)
        assert isinstance(memory, CovarianceMemory)
        memory.mean = mean
        return memory
