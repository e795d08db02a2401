"""Objectives: how little a network's answer says that the mask is the right one."""

from collections.abc import Mapping

from maskstore.errors import InvalidInput
from supsup.inference.objectives.base import Objective
from supsup.inference.objectives.energy import Energy
from supsup.inference.objectives.entropy import Entropy
from supsup.inference.objectives.probability import MaxProbability
from supsup.inference.objectives.superfluous import Superfluous

OBJECTIVES: Mapping[str, type[Objective]] = {
    "entropy": Entropy,
    "superfluous": Superfluous,
    "energy": Energy,
    "max-probability": MaxProbability,
}
"""What the command line's ``--objective`` names."""


def parse_objective(objective: str | Objective, temperature: float = 1.0) -> Objective:
    """An objective from its name; one that is made already is returned as it is.

    Raises:
        InvalidInput: an unknown name, or a temperature that is not positive.
    """
    if isinstance(objective, Objective):
        return objective
    if objective not in OBJECTIVES:
        raise InvalidInput(f"objective: expected one of {', '.join(OBJECTIVES)}, got {objective!r}")
    return OBJECTIVES[objective](temperature=temperature)


__all__ = [
    "OBJECTIVES",
    "Energy",
    "Entropy",
    "MaxProbability",
    "Objective",
    "Superfluous",
    "parse_objective",
]
