"""Retrieval: letting a memory settle, and how far its patterns stand."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from hopfield.rules.base import HopfieldMemory, MatrixMemory
from maskstore.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where the dynamics ended.

    Attributes:
        pattern: ±1.
        sweeps: updates of every unit that were made.
        at_rest: whether the last sweep changed nothing.
    """

    pattern: Int8[np.ndarray, " unit"]
    sweeps: int
    at_rest: bool


def settle(
    memory: HopfieldMemory,
    start: Int8[np.ndarray, " unit"],
    *,
    synchronous: bool = True,
    max_sweeps: int = 100,
    seed: int = 0,
) -> Settled:
    """Follow the field from ``start``; a unit whose field is 0 keeps its value.

    Args:
        synchronous: all units at once (may end in a cycle of two), or one at a time in a random
            order, where the energy never rises (needs a matrix).
        seed: of the order.

    Raises:
        InvalidInput: one unit at a time without a matrix.
    """
    z = start.astype(np.float64)
    if not synchronous and not isinstance(memory, MatrixMemory):
        raise InvalidInput(f"rule {memory.rule!r} updates all units at once; it has no matrix")
    rng = np.random.default_rng(seed)
    for sweep in range(1, max_sweeps + 1):
        before = z.copy()
        if synchronous:
            # The modern field is the recalled pattern less z itself: its sign is taken at z = 0.
            field = memory.field(z) + (0 if isinstance(memory, MatrixMemory) else z)
            z = np.where(field == 0, z, np.sign(field))
        else:
            assert isinstance(memory, MatrixMemory)
            field = memory.field(z)
            for unit in rng.permutation(memory.size):
                new = z[unit] if field[unit] == 0 else np.sign(field[unit])
                if new != z[unit]:
                    field = field + memory.matrix[:, unit] * (new - z[unit])
                    z[unit] = new
        if np.array_equal(z, before):
            return Settled(pattern=z.astype(np.int8), sweeps=sweep, at_rest=True)
    return Settled(pattern=z.astype(np.int8), sweeps=max_sweeps, at_rest=False)


def is_attractor(memory: HopfieldMemory, pattern: Int8[np.ndarray, " unit"]) -> bool:
    """Whether the pattern is a fixed point of the synchronous dynamics."""
    settled = settle(memory, pattern, max_sweeps=1)
    return settled.at_rest


def overlap(a: Int8[np.ndarray, " unit"], b: Int8[np.ndarray, " unit"]) -> float:
    """m = a·b/d: 1 for the same pattern, 0 for unrelated ones."""
    return float(np.dot(a.astype(np.float64), b.astype(np.float64))) / len(a)


def crosstalk(
    memory: HopfieldMemory, pattern: Int8[np.ndarray, " unit"]
) -> Float[np.ndarray, " unit"]:
    """1 - ξ_i h_i, with the field scaled to mean 1 along the pattern: a unit above 1 flips.

    Under Hebb's rule it is what the other patterns add to a unit's own signal
    (Hertz, Krogh and Palmer, 1991, eq. 2.11).
    """
    aligned = pattern * memory.field(pattern.astype(np.float64))
    mean = float(aligned.mean())
    return 1 - aligned / mean if mean else np.ones(memory.size)


def capacity(rule: str, size: int) -> float:
    """Random patterns that a memory of ``size`` units is expected to hold.

    Raises:
        InvalidInput: the rule has no such number (``modern`` is limited by its bytes alone).
    """
    if rule in ("hebb", "covariance"):
        return 0.138 * size  # Amit, Gutfreund and Sompolinsky, 1985
    if rule == "storkey":
        return size / math.sqrt(2 * math.log(size))  # Storkey and Valabregue, 1999
    if rule == "projection":
        return float(size)
    raise InvalidInput(f"rule {rule!r}: no capacity is known for it")
