"""HopfieldMemory: patterns of ±1 held as minima of an energy."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, Int8

from maskstore.errors import InvalidInput

MAX_MATRIX_BYTES = 1 << 32
"""Largest d × d matrix that is made: 4 GiB, d = 32,768."""


class HopfieldMemory(ABC):
    """An associative memory over d units (paper, section 4.4; lecture notes §6.1).

    Attributes:
        size: d.
        count: patterns encoded so far.
    """

    rule: ClassVar[str]
    """What the command line and the memory file call it."""

    def __init__(self, size: int) -> None:
        if size < 2:
            raise InvalidInput(f"Hopfield memory: expected at least 2 units, got {size}")
        self.size = size
        self.count = 0

    @abstractmethod
    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        """Store one more pattern of ±1; earlier patterns are not needed.

        Raises:
            InvalidInput: another length, or values other than -1 and 1.
        """

    @abstractmethod
    def energy(self, z: Float[np.ndarray, " unit"]) -> float:
        """E(z); the stored patterns are meant to be its minima over {-1, 1}^d."""

    @abstractmethod
    def field(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        """-∂E/∂z. A unit at rest has the sign of its field."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that the memory holds."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Arrays that, with rule, size and count, are the whole memory."""

    @classmethod
    @abstractmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "HopfieldMemory":
        """The inverse of :meth:`state`; raises InvalidInput where the arrays do not fit."""

    def _parse(self, pattern: Int8[np.ndarray, " unit"]) -> Float32[np.ndarray, " unit"]:
        if pattern.shape != (self.size,):
            raise InvalidInput(
                f"Hopfield memory of {self.size} units: got a pattern of shape {pattern.shape}"
            )
        if not np.isin(pattern, (-1, 1)).all():
            raise InvalidInput("Hopfield memory: a pattern has values -1 and 1 only (z = 2m - 1)")
        return pattern.astype(np.float32)


class MatrixMemory(HopfieldMemory):
    """E(z) = -½ zᵀWz over a symmetric d × d matrix with no self-coupling."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        needed = 4 * size * size
        if needed > MAX_MATRIX_BYTES:
            raise InvalidInput(
                f"Hopfield memory, rule {self.rule}: {size:,} units need a matrix of {needed:,} "
                f"bytes, at most {MAX_MATRIX_BYTES:,} are made; use a rule without a matrix "
                "(modern), or a network whose masks are smaller (bn-2048: 4,096 units)"
            )
        self.matrix: Float32[np.ndarray, "unit unit"] = np.zeros((size, size), np.float32)

    def energy(self, z: Float[np.ndarray, " unit"]) -> float:
        return float(-0.5 * np.dot(z, self.field(z)))

    def field(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        return self.matrix @ z

    @property
    def nbytes(self) -> int:
        # The matrix is symmetric with a zero diagonal: the upper triangle is all there is to keep.
        return 4 * (self.size * (self.size - 1) // 2)

    def state(self) -> dict[str, np.ndarray]:
        return {"upper": self.matrix[np.triu_indices(self.size, 1)]}

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "MatrixMemory":
        memory = cls(size)
        upper = take(state, "upper", np.float32, (size * (size - 1) // 2,))
        memory.matrix[np.triu_indices(size, 1)] = upper
        memory.matrix += memory.matrix.T
        memory.count = count
        return memory


def take(
    state: dict[str, np.ndarray], name: str, dtype: type[np.generic], shape: tuple[int, ...]
) -> np.ndarray:
    """An array of a memory's state; raises InvalidInput unless it is as expected and finite."""
    found = state.get(name)
    if found is None or found.dtype != dtype or found.shape != shape:
        what = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
        raise InvalidInput(
            f"Hopfield memory: expected {name!r} as {np.dtype(dtype)} of shape {shape}, got {what}"
        )
    if not np.isfinite(found).all():
        raise InvalidInput(f"Hopfield memory: {name!r} has values that are not finite")
    return found
