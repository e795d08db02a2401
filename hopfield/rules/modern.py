"""The modern Hopfield network: E(z) = ½|z|² - lse(β, Zz)/β (Ramsauer et al., 2020, eq. 2).

It keeps the patterns themselves, a bit a unit: exponential capacity, recall in one step, and the
size of explicit storage. There is no d × d matrix, so masks of any length fit.
"""

import numpy as np
from jaxtyping import Float, Float64, Int8

from hopfield.rules.base import HopfieldMemory, take
from hopfield.rules.packed_patterns import PackedPatterns
from maskstore.errors import InvalidInput

_NOTHING = 2.0**-80
"""A share of a pattern that cannot change a sum of float64."""


class ModernMemory(HopfieldMemory):
    """Log-sum-exp energy over packed patterns.

    Attributes:
        beta: inverse temperature per unit of overlap; 1/√d by default, as in attention.
    """

    rule = "modern"
    form = "packed"

    def __init__(self, size: int, beta: float | None = None) -> None:
        super().__init__(size)
        self.beta = float(np.float32(size**-0.5 if beta is None else beta))
        if not 0 < self.beta < float("inf"):
            raise InvalidInput(f"modern rule: expected a positive beta, got {beta}")
        self._patterns = PackedPatterns(size)

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        self._patterns.append(self.parse(pattern))
        self.count += 1

    def overlaps(self, z: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " pattern"]:
        """Zz: the inner product with every pattern."""
        return self._patterns.overlaps(z)

    def energy(self, z: Float[np.ndarray, " unit"]) -> float:
        half_square = 0.5 * float(np.dot(z, z))
        if not self.count:
            return half_square
        scaled = self.beta * self.overlaps(z)
        top = scaled.max()
        return half_square - float(top + np.log(np.exp(scaled - top).sum())) / self.beta

    def field(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        return self.drive(z) - z

    def drive(self, z: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        """The recalled pattern, Zᵀ softmax(β Zz) (eq. 3)."""
        if not self.count:
            return np.zeros(self.size)
        scaled = self.beta * self.overlaps(z)
        weights = np.exp(scaled - scaled.max())
        weights[weights < _NOTHING] = 0
        return self._patterns.combine(weights / weights.sum())

    def state(self) -> dict[str, np.ndarray]:
        return {"packed": self._patterns.rows, "beta": np.array([self.beta], np.float32)}

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "ModernMemory":
        memory = cls(size, float(take(state, "beta", np.float32, (1,))[0]))
        memory._patterns.extend(take(state, "packed", np.uint8, (count, (size + 7) // 8)))
        memory.count = count
        return memory
