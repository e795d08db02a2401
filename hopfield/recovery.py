"""Recovery: the stored mask that makes a network certain about unlabelled data (eq. 6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64, Int8

from hopfield.descent import Deflated, Schedule
from hopfield.dynamics import settle
from hopfield.rules.base import HopfieldMemory
from maskstore.errors import InvalidInput
from maskstore.notebook import Shown, counted

Entropy: TypeAlias = Callable[
    [Float[np.ndarray, " unit"], int], tuple[float, Float[np.ndarray, " unit"]]
]
"""``entropy(mask, step) -> (H, ∂H/∂mask)``: mask in [0, 1]^d, H in nats, of batch number ``step``;
the same step is the same batch."""

Accept: TypeAlias = Callable[[Int8[np.ndarray, " unit"]], float]
"""``accept(pattern)``: the highest entropy at which the data count as those of that pattern; minus
infinity for a pattern that was never stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One point of a descent.

    Attributes:
        restart: number of the descent, from 0.
        energy, entropy: E(z) and H(p) there; at the end of a descent, of the settled pattern.
        pattern: the signs of z.
    """

    restart: int
    energy: float
    entropy: float
    pattern: Int8[np.ndarray, " unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An attractor that a descent ended in.

    Attributes:
        entropy: mean over the schedule's ``judging`` batches, nats.
        energy: E of the pattern.
        accept: its highest entropy on data of its own; None where nobody knows.
    """

    pattern: Int8[np.ndarray, " unit"]
    entropy: float
    energy: float
    accept: float | None

    @property
    def accepted(self) -> bool:
        """Whether the entropy is decisively low."""
        return self.accept is not None and self.entropy <= self.accept


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Recovery(Shown):
    """What was recovered.

    Attributes:
        candidates: the attractors found: one that is accepted first, then by entropy.
        restarts: descents after the first.
        batches: calls of the entropy: forward passes, nearly all with a backward one.
        trajectory: z before every step, and the pattern that each descent ended in.
    """

    candidates: tuple[Candidate, ...]
    restarts: int
    batches: int
    trajectory: tuple[Step, ...]

    def _shown(self) -> str:
        return (
            f"{counted(len(self.candidates), 'candidate')} over {len(self.pattern):,} units, "
            f"best entropy {self.entropy:.4g}; {counted(self.steps, 'step')}, "
            f"{counted(self.restarts, 'restart')}"
        )

    @property
    def pattern(self) -> Int8[np.ndarray, " unit"]:
        """The best attractor."""
        return self.candidates[0].pattern

    @property
    def entropy(self) -> float:
        """Its entropy."""
        return self.candidates[0].entropy

    @property
    def known(self) -> bool | None:
        """Whether the data are of a stored task; None where no ``accept`` was given."""
        best = self.candidates[0]
        return None if best.accept is None else best.accepted

    @property
    def steps(self) -> int:
        """Steps of all descents."""
        return len(self.trajectory) - self.restarts - 1

    @property
    def margin(self) -> float | None:
        """How far the best is below the entropy that its pattern is accepted at, nats; without
        ``accept``, below the second best. None where there is neither."""
        best, *others = self.candidates
        if best.accept is not None:
            return best.accept - best.entropy if np.isfinite(best.accept) else None
        return others[0].entropy - best.entropy if others else None

    def hamming(self, truth: Int8[np.ndarray, " unit"]) -> list[int]:
        """Bits that differ from ``truth`` at every step of the trajectory."""
        return [int(np.count_nonzero(step.pattern != truth)) for step in self.trajectory]


def recover(
    memory: HopfieldMemory,
    entropy: Entropy,
    *,
    start: Float[np.ndarray, " unit"],
    accept: Accept | None = None,
    schedule: Schedule | None = None,
) -> Recovery:
    """Find the stored pattern whose mask m = (z + 1)/2 has the least entropy on the data.

    Annealed descent of eq. 6 on all layers at once, z in [-1, 1]^d, with the entropy's slope passed
    through the memory: Δz ∝ (1 - t/T)·W(-∂H/∂z) + (t/T)·Wz, each scaled to root mean square 1. That
    is descent among the combinations of stored patterns, as One-Shot does it over explicit masks.
    The memory's own dynamics then settle it. Unless the attractor's entropy is accepted, the
    descent is made again: from the attractor if it is a mixture of stored patterns, otherwise with
    it removed from view (:class:`hopfield.descent.Deflated`).

    Args:
        memory: all that is known of the stored patterns.
        start: mean of the stored patterns; descents begin there, less the patterns removed.
        accept: decides when the search stops, and whether the data are of a stored task at all.
            Without it all restarts are made.
        schedule: :class:`Schedule` by default.

    Raises:
        InvalidInput: an empty memory, a start that does not fit, or an entropy that is not finite.
    """
    schedule = schedule or Schedule()
    if not memory.count:
        raise InvalidInput("recovery: the memory is empty; encode a mask first")
    if start.shape != (memory.size,) or not (np.abs(start) <= 1).all():
        raise InvalidInput(
            f"recovery: expected a start of {memory.size} values between -1 and 1, "
            f"got shape {start.shape}"
        )
    found: list[Candidate] = []
    removed: list[Int8[np.ndarray, " unit"]] = []
    trajectory: list[Step] = []
    restart = 0
    begin = start.astype(np.float64)
    for restart in range(schedule.restarts + 1):
        z = begin.copy()
        trajectory += _descend(Deflated(memory, removed), entropy, z, schedule, restart)
        pattern = settle(memory, signs(z)).pattern
        candidate = judged(memory, entropy, pattern, schedule, accept)
        trajectory.append(
            Step(
                restart=restart,
                energy=candidate.energy,
                entropy=candidate.entropy,
                pattern=pattern,
            )
        )
        again = any(np.array_equal(pattern, each.pattern) for each in found)
        if not again:
            found.append(candidate)
        if candidate.accepted:
            break
        if candidate.accept == -np.inf and not again:
            # A mixture has a part of the right pattern: not removed, but gone on from.
            begin = pattern.astype(np.float64)
            continue
        removed.append(pattern)
        if len(removed) == memory.count or any(np.array_equal(pattern, x) for x in removed[:-1]):
            break
        begin = _without(start.astype(np.float64), removed, memory.count)
    return Recovery(
        candidates=tuple(sorted(found, key=lambda each: (not each.accepted, each.entropy))),
        restarts=restart,
        batches=(schedule.steps + schedule.judging) * (restart + 1),
        trajectory=tuple(trajectory),
    )


def _descend(
    view: Deflated,
    entropy: Entropy,
    z: Float64[np.ndarray, " unit"],
    schedule: Schedule,
    restart: int,
) -> list[Step]:
    """Move z, in place; returns where it was before each step."""
    steps = []
    for t in range(schedule.steps):
        step = restart * schedule.steps + t
        value, slope = checked(entropy, (z + 1) / 2, step)
        steps.append(
            Step(
                restart=restart,
                energy=view.memory.energy(z),
                entropy=value,
                pattern=signs(z),
            )
        )
        late = t / schedule.steps
        downhill, pull = _scaled(-view.response(slope)), _scaled(view.pull(z))
        z += schedule.rate * ((1 - late) * downhill + late * pull)
        np.clip(z, -1, 1, out=z)
    return steps


def _without(
    mean: Float64[np.ndarray, " unit"], found: Sequence[Int8[np.ndarray, " unit"]], count: int
) -> Float64[np.ndarray, " unit"]:
    """The mean of the patterns that are left: of all ``count`` less those found."""
    total = count * mean - sum(pattern.astype(np.float64) for pattern in found)
    return np.clip(total / (count - len(found)), -1, 1)


def judged(
    memory: HopfieldMemory,
    entropy: Entropy,
    pattern: Int8[np.ndarray, " unit"],
    schedule: Schedule,
    accept: Accept | None,
) -> Candidate:
    """A pattern with its entropy on the batches that all candidates are judged on."""
    mask = (pattern.astype(np.float64) + 1) / 2
    values = [checked(entropy, mask, batch)[0] for batch in range(schedule.judging)]
    return Candidate(
        pattern=pattern,
        entropy=float(np.mean(values)),
        energy=memory.energy(pattern.astype(np.float64)),
        accept=None if accept is None else accept(pattern),
    )


def checked(
    entropy: Entropy, mask: Float64[np.ndarray, " unit"], step: int
) -> tuple[float, Float64[np.ndarray, " unit"]]:
    """The entropy and its slope; raises InvalidInput where they are not finite."""
    value, slope = entropy(mask, step)
    if not (np.isfinite(value) and np.isfinite(slope).all()):
        raise InvalidInput(
            f"recovery: the entropy of batch {step} is not finite; check the data for NaN"
        )
    return value, slope.astype(np.float64)


def _scaled(v: Float64[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
    rms = float(np.sqrt(np.mean(v * v)))
    return v / rms if rms else v


def signs(z: Float64[np.ndarray, " unit"]) -> Int8[np.ndarray, " unit"]:
    """The pattern nearest to z."""
    return np.where(z >= 0, 1, -1).astype(np.int8)
