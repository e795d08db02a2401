"""How a recovery descends: its schedule, and the memory less what was found before.

The units of the schedule do not depend on the network or the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from jaxtyping import Float, Float64, Int8

from hopfield.rules.base import HopfieldMemory, QuadraticMemory
from maskstore.numbers import parse_real, parse_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How many steps, how far, how often.

    Slopes and pulls are scaled to root mean square 1 before they are weighted, so that neither
    the size of the network, nor the number of patterns, nor the scale of the entropy matters:
    lengths are in units of the box [-1, 1]^d, whose corners are 1 from its centre.

    Attributes:
        steps: T of eq. 6, batches a descent.
        path: length of a descent whose steps all point one way.
        judging: batches that a mask is judged on, the same ones for every mask.
        restarts: descents after the first, each with what was found before removed.

    Raises:
        InvalidInput: a field is out of range.
    """

    steps: int = 10
    path: float = 1.65
    judging: int = 4
    restarts: int = 7

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("judging", 1), ("restarts", 0)):
            number = parse_whole(f"schedule: {name}", getattr(self, name), least=least)
            object.__setattr__(self, name, number)
        path = parse_real("schedule: path", self.path, "a positive length", lambda x: 0 < x < inf)
        object.__setattr__(self, "path", path)

    @property
    def rate(self) -> float:
        """Length of the first step; entropy's share of it falls to 0 as the memory's rises."""
        return self.path / sum(1 - step / self.steps for step in range(self.steps))


_SMALL = 1e-3
"""A push so small that the response of any rule to it is linear."""


class Deflated:
    """What a memory says in the directions that ``found`` patterns leave over.

    With Q the projector onto the complement of the patterns found, W becomes QWQ: they are no
    attractors any more, and the others keep their part that is outside of them (Hotelling's
    deflation, for a memory that is only asked for products).
    """

    def __init__(
        self, memory: HopfieldMemory, found: Sequence[Int8[np.ndarray, " unit"]] = ()
    ) -> None:
        self.memory = memory
        # Orthonormal columns: patterns found are distinct, but need not be orthogonal.
        columns = np.array(found, np.float64).reshape(len(found), memory.size).T
        self._basis = np.linalg.qr(columns)[0]

    def pull(self, z: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        """Where the memory draws z, -∂E/∂z of a quadratic energy."""
        return self._outside(self.memory.drive(self._outside(z)))

    def response(self, push: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        """The change of the pull by a small push at z = 0: Wv for a quadratic energy.

        It keeps of any direction what lies along stored patterns. The d - k directions that no
        pattern has, in which entropy falls without end towards masks that nobody stored, go.
        """
        v = self._outside(push)
        if isinstance(self.memory, QuadraticMemory):
            return self._outside(self.memory.product(v))
        v = v * (_SMALL / max(float(np.abs(v).max()), np.finfo(np.float64).tiny))
        return self._outside(self.memory.drive(v) - self.memory.drive(-v))

    def _outside(self, z: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        return z - self._basis @ (self._basis.T @ z)
