"""Whether data are like those of a mask's task: free energy against what is usual there."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from maskstore.errors import InvalidInput

USUAL_SHARE = 0.95
"""Of a task's own images that are to be recognised one by one."""
_SHIFT = 0.3
"""Of the way from the mean to the bar by which other data of the task may lie, however many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyThreshold:
    """Free energy (Liu et al., 2020, eq. 4) that images of a mask's own task have under it.

    Energy is low where the network answers loudly. Images of no task that it knows have a higher
    one under every mask, so high energy says that an answer is worth nothing.

    Attributes:
        mean: over images of the task.
        bar: 95% of them are not above it.

    Raises:
        InvalidInput: a figure is not finite, or the bar is below the mean.
    """

    mean: float
    bar: float

    def __post_init__(self) -> None:
        if not -math.inf < self.mean <= self.bar < math.inf:
            raise InvalidInput(
                f"energy: expected a finite mean and a bar above it, got {self.mean!r} "
                f"and {self.bar!r}"
            )

    @classmethod
    def of(cls, energies: Float[Tensor, " image"]) -> "EnergyThreshold":
        """That of images of the task, at least one."""
        mean = float(energies.double().mean())
        bar = float(energies.double().quantile(USUAL_SHARE))
        # Digits that nobody needs would cost their bytes in every task of an archive.
        return cls(mean=float(f"{mean:.4g}"), bar=float(f"{max(mean, bar):.4g}"))

    def knows(self, energies: Float[Tensor, " image"]) -> bool:
        """Whether images that belong together are like the task's, by their mean energy.

        One image of the task is recognised in about 95 of 100 cases, several of them more surely.
        """
        return are_usual(energies, mean=self.mean, bar=self.bar)

    def to_json(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "EnergyThreshold | None":
        """The inverse of :meth:`to_json`; None for anything else, such as what is not there."""
        if not isinstance(value, Mapping) or value.keys() != {"mean", "bar"}:
            return None
        figures: dict[str, Any] = dict(value)
        if not all(type(figure) in (int, float) for figure in figures.values()):
            return None
        try:
            return cls(**{name: float(figure) for name, figure in figures.items()})
        except (InvalidInput, OverflowError):
            return None


def are_usual(scores: Float[Tensor, " image"], *, mean: float, bar: float) -> bool:
    """Whether images that belong together are like those of which 95% are not above the bar.

    The mean of several spreads less, by the square root of their number.
    """
    away = math.sqrt((1 - _SHIFT**2) / len(scores) + _SHIFT**2)
    return float(scores.double().mean()) <= mean + away * (bar - mean)


def free_energy(logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
    """-logsumexp of the class outputs, the first ones."""
    return -logits[..., :classes].logsumexp(-1)
