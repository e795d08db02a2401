"""The covariance rule without a matrix: Hebb's about the patterns' mean."""

import numpy as np
from jaxtyping import Float64, Int8

from hopfield.rules.covariance import bias_of, mean_array, mean_from, mean_of, parse_mean
from hopfield.rules.packed import PackedMemory


class PackedCovarianceMemory(PackedMemory):
    """A = 1/d about the mean a, see :class:`CovarianceMemory`.

    Attributes:
        fixed_mean: a where it was chosen, else None.
        sums: Σξ by unit.
    """

    rule = "covariance"

    def __init__(self, size: int, mean: float | None = None) -> None:
        super().__init__(size)
        self.fixed_mean = parse_mean(mean)
        self.sums: Float64[np.ndarray, " unit"] = np.zeros(size)

    @property
    def centre(self) -> float:
        return mean_of(self.fixed_mean, self.sums, self.count)

    @property
    def bias(self) -> float:
        return bias_of(self.centre) if self.count else 0.0

    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        self.sums += pattern

    def _mix(self, overlaps: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " pattern"]:
        return overlaps / self.size

    def _diagonal(self) -> Float64[np.ndarray, " unit"]:
        a = self.centre
        return (self.count * (1 + a * a) - 2 * a * self.sums) / self.size

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"mean": mean_array(self.fixed_mean)}

    @classmethod
    def from_state(
        cls, size: int, count: int, state: dict[str, np.ndarray]
    ) -> "PackedCovarianceMemory":
        mean = mean_from(state)
        memory = super().from_state(size, count, state)
        assert isinstance(memory, PackedCovarianceMemory)
        memory.fixed_mean = mean
        return memory
