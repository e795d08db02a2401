"""Retrieval: letting a memory settle, and how far its patterns stand."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8, Int64

from hopfield.rules.base import HopfieldMemory, QuadraticMemory
from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole


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
    """Follow the drive from ``start``; a unit whose drive is 0, up to rounding, keeps its value.

    Args:
        synchronous: all units at once (may end in a cycle of two), or one at a time in a random
            order, where the energy never rises (needs a quadratic energy: any rule but modern).
        seed: of the order.

    Raises:
        InvalidInput: a start of another length or of other values than ±1; or one unit at a time
            where the energy is not quadratic.

    >>> from hopfield import new_memory
    >>> memory = new_memory("hebb", 4)
    >>> memory.encode(np.int8([1, 1, -1, -1]))
    >>> settle(memory, np.int8([1, 1, 1, -1])).pattern
    array([ 1,  1, -1, -1], dtype=int8)
    """
    z = memory.parse(start).astype(np.float64)
    rng = np.random.default_rng(seed)
    for sweep in range(1, max_sweeps + 1):
        before = z.copy()
        if synchronous:
            drive = memory.drive(z)
            z = np.where(np.abs(drive) <= _nothing(drive), z, np.sign(drive))
        elif isinstance(memory, QuadraticMemory):
            _sweep(memory, z, rng.permutation(memory.size))
        else:
            raise InvalidInput(
                f"rule {memory.rule!r} updates all units at once: its energy has no couplings"
            )
        if np.array_equal(z, before):
            return Settled(pattern=z.astype(np.int8), sweeps=sweep, at_rest=True)
    return Settled(pattern=z.astype(np.int8), sweeps=max_sweeps, at_rest=False)


def _sweep(
    memory: QuadraticMemory, z: Float[np.ndarray, " unit"], order: Int64[np.ndarray, " unit"]
) -> None:
    """Update each unit once, in place."""
    field = memory.field(z)
    nothing = _nothing(field)
    for unit in order.tolist():
        if field[unit] * z[unit] < -nothing:
            field += memory.coupling(unit) * (-2 * z[unit])
            z[unit] = -z[unit]


def _nothing(drive: Float[np.ndarray, " unit"]) -> float:
    """What is 0 but for rounding, which would turn ties over and over."""
    return 1e-6 * float(np.abs(drive).max())


def is_attractor(memory: HopfieldMemory, pattern: Int8[np.ndarray, " unit"]) -> bool:
    """Whether the pattern is a fixed point of the synchronous dynamics.

    >>> from hopfield import new_memory
    >>> memory = new_memory("hebb", 4)
    >>> memory.encode(np.int8([1, 1, -1, -1]))
    >>> is_attractor(memory, np.int8([1, 1, -1, -1])), is_attractor(memory, np.int8([1, 1, 1, -1]))
    (True, False)
    """
    settled = settle(memory, pattern, max_sweeps=1)
    return settled.at_rest


def overlap(a: Int8[np.ndarray, " unit"], b: Int8[np.ndarray, " unit"]) -> float:
    """m = a·b/d: 1 for the same pattern, 0 for unrelated ones.

    >>> overlap(np.int8([1, 1, -1, -1]), np.int8([1, 1, 1, -1]))
    0.5
    """
    return float(np.dot(a.astype(np.float64), b.astype(np.float64))) / len(a)


def crosstalk(
    memory: HopfieldMemory, pattern: Int8[np.ndarray, " unit"]
) -> Float[np.ndarray, " unit"]:
    """1 - ξ_i h_i, with the field scaled to mean 1 along the pattern: a unit above 1 flips.

    Under Hebb's rule it is what the other patterns add to a unit's own signal
    (Hertz, Krogh and Palmer, 1991, eq. 2.11).
    """
    aligned = pattern * memory.field(memory.parse(pattern).astype(np.float64))
    mean = float(aligned.mean())
    return 1 - aligned / mean if mean else np.ones(memory.size)


def capacity(rule: str, size: int) -> float:
    """Random patterns that a memory of ``size`` units is expected to hold.

    Raises:
        InvalidInput: fewer than 2 units, or the rule has no such number (``modern`` is limited by
            its bytes alone).

    >>> capacity("hebb", 1000), capacity("projection", 1000)
    (138.0, 1000.0)
    """
    size = parse_whole("size", size, least=2)
    if rule in ("hebb", "covariance"):
        return 0.138 * size  # Amit, Gutfreund and Sompolinsky, 1985
    if rule == "storkey":
        return size / math.sqrt(2 * math.log(size))  # Storkey and Valabregue, 1999
    if rule == "projection":
        return float(size)
    raise InvalidInput(f"rule {rule!r}: no capacity is known for it")
