"""The paper's scenarios, as data: who is told the task, and what a right answer is."""

from collections.abc import Mapping
from dataclasses import dataclass

from maskstore.registry import check_one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One of the scenarios of the paper (section 3, table 1).

    Attributes:
        name: as in the paper.
        trained_by_name: whether training is told the task, so that each task has a mask of its own.
        given: whether evaluation is told the task, so that nothing is inferred.
        labels_shared: whether the tasks' labels are the same, so that the right label under
            another task's mask is right.
    """

    name: str
    trained_by_name: bool
    given: bool
    labels_shared: bool


GG = Scenario(name="GG", trained_by_name=True, given=True, labels_shared=False)
GNS = Scenario(name="GNs", trained_by_name=True, given=False, labels_shared=True)
GNU = Scenario(name="GNu", trained_by_name=True, given=False, labels_shared=False)
NNS = Scenario(name="NNs", trained_by_name=False, given=False, labels_shared=True)

SCENARIOS: Mapping[str, Scenario] = {each.name: each for each in (GG, GNS, GNU, NNS)}
"""By name."""


def parse_scenario(name: str) -> Scenario:
    """The scenario of a name; raises InvalidInput where there is none."""
    check_one_of("scenario", name, SCENARIOS)
    return SCENARIOS[name]
