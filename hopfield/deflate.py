"""A memory with some of its patterns removed from view, the memory itself unchanged."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int8

from hopfield.rules.base import HopfieldMemory, QuadraticMemory

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
