"""The covariance rule for patterns whose mean is not 0 (Amit, Gutfreund and Sompolinsky, 1987).

W = Σ (ξ - a)(ξ - a)ᵀ / d, the field is W(z - a) + a(1 - a²). Mask densities of 0.33 to 0.55 are
means of -0.34 to 0.10; under Hebb's rule their common part would swamp what tells them apart.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, Int8

from hopfield.rules.base import take
from hopfield.rules.dense import OuterProductMemory
from hopfield.rules.packed import PackedMemory
from maskstore.errors import InvalidInput


class CovarianceMemory(OuterProductMemory):
    """The sum of outer products, and how often each unit is on: W about any mean, exactly.

    Multiplied out, W is Hebb's matrix less a rank-two part that depends on the mean, so the mean
    need not be known beforehand: by default it is that of the patterns encoded so far.

    Attributes:
        fixed_mean: a where it was chosen (2·density - 1 of the masks to come), else None.
        sums: Σξ by unit.
    """

    rule = "covariance"

    def __init__(self, size: int, mean: float | None = None) -> None:
        super().__init__(size)
        self.fixed_mean = parse_mean(mean)
        self.sums: Float64[np.ndarray, " unit"] = np.zeros(size)

    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        self.sums += pattern

    @property
    def centre(self) -> float:
        return mean_of(self.fixed_mean, self.sums, self.count)

    @property
    def bias(self) -> float:
        return bias_of(self.centre) if self.count else 0.0

    @property
    def matrix(self) -> Float32[np.ndarray, "unit unit"]:
        shift = self._shift()
        whole = self.weights - (shift[:, None] + shift)
        np.fill_diagonal(whole, 0)
        return whole * np.float32(self.scale)

    def product(self, x: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        shift = self._shift().astype(np.float64)
        rank_two = shift * x.sum() + np.dot(shift, x) - 2 * shift * x
        return self.scale * (self._times(x) - rank_two)

    def coupling(self, unit: int) -> Float64[np.ndarray, " unit"]:
        shift = self._shift().astype(np.float64)
        column = self.weights[unit] - (shift + shift[unit])
        column[unit] = 0
        return self.scale * column

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {
            "sums": self.sums.astype(np.int32),
            "mean": mean_array(self.fixed_mean),
        }

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "CovarianceMemory":
        sums = take(state, "sums", np.int32, (size,))
        mean = mean_from(state)
        memory = super().from_state(size, count, state)
        assert isinstance(memory, CovarianceMemory)
        memory.fixed_mean, memory.sums = mean, sums.astype(np.float64)
        return memory

    def _shift(self) -> Float32[np.ndarray, " unit"]:
        """v with Σ(ξ_i - a)(ξ_j - a) = Σξ_iξ_j - v_i - v_j: a(s_i - Ka/2)."""
        a = self.centre
        return (a * (self.sums - 0.5 * self.count * a)).astype(np.float32)


class PackedCovarianceMemory(PackedMemory):
    """Without a matrix: A = 1/d about the mean a, see :class:`CovarianceMemory`.

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


def parse_mean(mean: float | None) -> float | None:
    """A mean as float32 has it; raises InvalidInput unless it is between -1 and 1."""
    if mean is None:
        return None
    if not -1 < mean < 1:
        raise InvalidInput(f"covariance rule: expected a mean between -1 and 1, got {mean}")
    return float(np.float32(mean))


def mean_of(fixed: float | None, sums: Float64[np.ndarray, " unit"], count: int) -> float:
    """The mean in force: the fixed one, or that of all units of all patterns so far."""
    if fixed is not None:
        return fixed
    # Patterns that are all the same sign leave nothing about their own mean.
    return float(np.clip(sums.sum() / (count * len(sums)), -0.99, 0.99)) if count else 0.0


def bias_of(mean: float) -> float:
    """b = a(1 - a²): with it a stored pattern's own field is (1 - a²)ξ at all of its units.

    Without, it is (1 - a²)(ξ - a), and the more frequent sign is the weaker one.
    """
    return mean * (1 - mean * mean)


def mean_array(fixed: float | None) -> Float32[np.ndarray, " mean"]:
    """As the file has it: no value where the mean follows the patterns."""
    return np.array([] if fixed is None else [fixed], np.float32)


def mean_from(state: dict[str, np.ndarray]) -> float | None:
    """The inverse of :func:`mean_array`; raises InvalidInput."""
    found = state.get("mean")
    if found is not None and found.size == 0:
        return None
    return parse_mean(float(take(state, "mean", np.float32, (1,))[0]))
