"""HopfieldMemory: patterns of ±1 held as minima of an energy."""

from abc import abstractmethod

import numpy as np
from jaxtyping import Float, Int8

from maskstore.errors import InvalidInput
from maskstore.notebook import Shown, counted


class HopfieldMemory(Shown):
    """An associative memory over d units (paper, section 4.4; lecture notes §6.1).

    Attributes:
        rule: what the command line and the memory file call its learning rule.
        form: how it is held: ``dense``, ``packed``, ``blocks`` or ``quantised``.
        size: d.
        count: patterns encoded so far.
    """

    rule: str
    form: str

    def __init__(self, size: int) -> None:
        if size < 2:
            raise InvalidInput(f"Hopfield memory: expected at least 2 units, got {size}")
        self.size = size
        self.count = 0

    def _shown(self) -> str:
        what = f"{self.rule}, {self.form}"
        return f"({what}): {counted(self.count, 'pattern')} over {counted(self.size, 'unit')}"

    @abstractmethod
    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        """Store one more pattern of ±1; earlier patterns are not needed.

        Raises:
            InvalidInput: another length, values other than -1 and 1, or a quantised memory.
        """

    @abstractmethod
    def energy(self, z: Float[np.ndarray, " unit"]) -> float:
        """E(z); the stored patterns are meant to be its minima over {-1, 1}^d."""

    @abstractmethod
    def field(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        """-∂E/∂z."""

    @abstractmethod
    def drive(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        """What each unit's next sign is that of. A unit at rest has the sign of its drive."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Arrays that, with rule, form, size and count, are the whole memory."""

    @classmethod
    @abstractmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "HopfieldMemory":
        """The inverse of :meth:`state`; raises InvalidInput where the arrays do not fit."""

    @property
    def nbytes(self) -> int:
        """Bytes of :meth:`state`: what the file keeps, before compression."""
        return sum(array.nbytes for array in self.state().values())

    def parse(self, pattern: Int8[np.ndarray, " unit"]) -> Int8[np.ndarray, " unit"]:
        """The pattern itself; raises InvalidInput unless it is one of this memory's length."""
        if pattern.shape != (self.size,):
            raise InvalidInput(
                f"Hopfield memory of {self.size} units: got a pattern of shape {pattern.shape}"
            )
        if (np.abs(pattern) != 1).any():
            raise InvalidInput("Hopfield memory: a pattern has values -1 and 1 only (z = 2m - 1)")
        return pattern


class QuadraticMemory(HopfieldMemory):
    """E(z) = -½ xᵀWx - b Σx with x = z - a, W symmetric and no self-coupling.

    Whether W is held as a matrix or made from patterns is up to those below.
    """

    @property
    @abstractmethod
    def centre(self) -> float | Float[np.ndarray, " unit"]:
        """a: 0 but for the covariance rule."""

    @property
    @abstractmethod
    def bias(self) -> float | Float[np.ndarray, " unit"]:
        """b, what every field has besides: 0 but for the covariance rule."""

    @abstractmethod
    def product(self, x: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        """Wx."""

    @abstractmethod
    def coupling(self, unit: int) -> Float[np.ndarray, " unit"]:
        """Column ``unit`` of W."""

    def energy(self, z: Float[np.ndarray, " unit"]) -> float:
        x = z - self.centre
        return float(-np.dot(x, 0.5 * self.product(x) + self.bias))

    def field(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        return self.product(z - self.centre) + self.bias

    def drive(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        return self.field(z)


def take(
    state: dict[str, np.ndarray],
    name: str,
    dtypes: type[np.generic] | tuple[type[np.generic], ...],
    shape: tuple[int, ...],
) -> np.ndarray:
    """An array of a memory's state; raises InvalidInput unless it is as expected and finite."""
    expected = [np.dtype(each) for each in (dtypes if isinstance(dtypes, tuple) else (dtypes,))]
    found = state.get(name)
    if found is None or found.dtype not in expected or found.shape != shape:
        what = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
        raise InvalidInput(
            f"Hopfield memory: expected {name!r} as {' or '.join(map(str, expected))} of shape "
            f"{shape}, got {what}"
        )
    if not np.isfinite(found).all():
        raise InvalidInput(f"Hopfield memory: {name!r} has values that are not finite")
    return found
