"""The modern Hopfield network: E(z) = ½|z|² - lse(β, Zz)/β (Ramsauer et al., 2020, eq. 2).

It keeps the patterns themselves, a bit a unit: exponential capacity, recall in one step, and the
size of explicit storage. There is no d × d matrix, so masks of any length fit.
"""

import numpy as np
from jaxtyping import Float, Int8, UInt8

from hopfield.rules.base import HopfieldMemory, take
from maskstore.errors import InvalidInput


class ModernMemory(HopfieldMemory):
    """Log-sum-exp energy over packed patterns.

    Attributes:
        beta: inverse temperature per unit of overlap; 1/√d by default, as in attention.
    """

    rule = "modern"

    def __init__(self, size: int, beta: float | None = None) -> None:
        super().__init__(size)
        self.beta = float(np.float32(size**-0.5 if beta is None else beta))
        if not 0 < self.beta < float("inf"):
            raise InvalidInput(f"modern rule: expected a positive beta, got {beta}")
        self._packed: list[UInt8[np.ndarray, " byte"]] = []

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        self._packed.append(np.packbits(self._parse(pattern) > 0, bitorder="little"))
        self.count += 1

    def overlaps(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " pattern"]:
        """Zz: the inner product with every pattern, unpacked one at a time."""
        return np.array([np.dot(self._pattern(row), z) for row in self._packed], np.float64)

    def energy(self, z: Float[np.ndarray, " unit"]) -> float:
        half_square = 0.5 * float(np.dot(z, z))
        if not self._packed:
            return half_square
        scaled = self.beta * self.overlaps(z)
        top = scaled.max()
        return half_square - float(top + np.log(np.exp(scaled - top).sum())) / self.beta

    def field(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        recalled = np.zeros(self.size)
        if self._packed:
            scaled = self.beta * self.overlaps(z)
            weights = np.exp(scaled - scaled.max())
            weights /= weights.sum()
            for row, weight in zip(self._packed, weights, strict=True):
                recalled += weight * self._pattern(row)
        return recalled - z

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self._packed)

    def state(self) -> dict[str, np.ndarray]:
        width = (self.size + 7) // 8
        packed = np.concatenate(self._packed) if self._packed else np.zeros(0, np.uint8)
        return {
            "packed": packed.reshape(len(self._packed), width),
            "beta": np.array([self.beta], np.float32),
        }

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "ModernMemory":
        memory = cls(size, float(take(state, "beta", np.float32, (1,))[0]))
        memory._packed = list(take(state, "packed", np.uint8, (count, (size + 7) // 8)))
        memory.count = count
        return memory

    def _pattern(self, row: UInt8[np.ndarray, " byte"]) -> Float[np.ndarray, " unit"]:
        return 2.0 * np.unpackbits(row, count=self.size, bitorder="little") - 1.0
