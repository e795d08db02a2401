"""Memories with a d × d matrix of float32: of any rule, and of those that sum outer products."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32, Float64, Int8, Shaped

from hopfield.rules.base import QuadraticMemory, take
from maskstore.errors import InvalidInput

MAX_MATRIX_BYTES = 1 << 32
"""Most bytes of matrices that one memory may have: 4 GiB, d = 32,768."""

_ROWS = 512
"""Rows of an outer product made at a time; a whole one would double the memory in use."""


def check_matrix_bytes(rule: str, size: int, needed: int) -> None:
    """Raise InvalidInput, with the alternatives, where matrices would be too large."""
    if needed > MAX_MATRIX_BYTES:
        raise InvalidInput(
            f"Hopfield memory, rule {rule}: {size:,} units need matrices of {needed:,} bytes, at "
            f"most {MAX_MATRIX_BYTES:,} are made. Without a matrix: form 'packed' with hebb, "
            f"covariance or projection, or rule modern ({(size + 7) // 8:,} bytes a pattern each); "
            "with smaller ones: form 'blocks', a matrix for each layer or block of units; or mask "
            "a network's neurons instead of its weights (bn-2048: 4,096 units)"
        )


class MatrixMemory(QuadraticMemory):
    """A symmetric matrix with a zero diagonal; every rule adds outer products to it.

    Attributes:
        weights: W up to the rule's own factor, see :attr:`scale`.
    """

    form = "dense"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        check_matrix_bytes(self.rule, size, 4 * size * size)
        self.weights: Float32[np.ndarray, "unit unit"] = np.zeros((size, size), np.float32)

    @property
    def scale(self) -> float:
        """W = scale · weights."""
        return 1.0

    @property
    def centre(self) -> float:
        return 0.0

    @property
    def bias(self) -> float:
        return 0.0

    @property
    def matrix(self) -> Float32[np.ndarray, "unit unit"]:
        """W, a new array."""
        return self.weights * np.float32(self.scale)

    def product(self, x: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        return self.scale * self._times(x)

    def coupling(self, unit: int) -> Float64[np.ndarray, " unit"]:
        return self.scale * self.weights[unit].astype(np.float64)

    def state(self) -> dict[str, np.ndarray]:
        return {"upper": upper_of(self.weights)}

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "MatrixMemory":
        upper = take(state, "upper", np.float32, (size * (size - 1) // 2,))
        memory = cls(size)
        fill_from_upper(memory.weights, upper)
        memory.count = count
        return memory

    def _times(self, x: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        # x joins the matrix's precision: the other way round numpy would copy the matrix.
        return (self.weights @ x.astype(np.float32)).astype(np.float64)

    def _rows(self) -> Iterator[slice]:
        for start in range(0, self.size, _ROWS):
            yield slice(start, start + _ROWS)


class OuterProductMemory(MatrixMemory):
    """Σξξᵀ/d less its diagonal, summed in whole numbers: exact, and the same in any order.

    The file keeps, for each pair of units, in how many of the patterns they agree.
    """

    @abstractmethod
    def _learn(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        """Keep what the rule needs of one more pattern besides the sum."""

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        z = self.parse(pattern).astype(np.float32)
        for rows in self._rows():
            self.weights[rows] += np.outer(z[rows], z)
        np.fill_diagonal(self.weights, 0)
        self._learn(pattern)
        self.count += 1

    @property
    def scale(self) -> float:
        return 1 / self.size

    def state(self) -> dict[str, np.ndarray]:
        agreements = (upper_of(self.weights) + np.float32(self.count)) / 2
        return {"agreements": agreements.astype(np.min_scalar_type(self.count))}

    @classmethod
    def from_state(
        cls, size: int, count: int, state: dict[str, np.ndarray]
    ) -> "OuterProductMemory":
        kind = np.min_scalar_type(count).type
        agreements = take(state, "agreements", kind, (size * (size - 1) // 2,))
        memory = cls(size)
        fill_from_upper(memory.weights, 2 * agreements.astype(np.float32) - np.float32(count))
        memory.count = count
        return memory


def upper_of(weights: Shaped[np.ndarray, "unit unit"]) -> Shaped[np.ndarray, " pair"]:
    """The triangle above the diagonal, row after row."""
    return np.concatenate([row[i + 1 :] for i, row in enumerate(weights)])


def fill_from_upper(
    weights: Float32[np.ndarray, "unit unit"], upper: Shaped[np.ndarray, " pair"]
) -> None:
    """The inverse of :func:`upper_of`, into both triangles."""
    start = 0
    for i in range(len(weights)):
        row = upper[start : start + len(weights) - 1 - i]
        weights[i, i + 1 :] = row
        weights[i + 1 :, i] = row
        start += len(row)
