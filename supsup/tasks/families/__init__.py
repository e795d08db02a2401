"""The task rules by name, and which of them each data set has."""

from collections.abc import Mapping
from types import MappingProxyType

from supsup.tasks.families.base import TaskRule
from supsup.tasks.families.permuted import Permuted
from supsup.tasks.families.rotated import Rotated
from supsup.tasks.families.split import Split

RULES: Mapping[str, TaskRule] = MappingProxyType(
    {"split": Split(), "permuted": Permuted(), "rotated": Rotated()}
)
"""Rule name, as in recipes and task names → rule."""

# The paper deals the classes of both to its tasks at random, 20 tasks of 5 and 100 of 10.
_RULES_OF: Mapping[str, Mapping[str, TaskRule]] = MappingProxyType(
    {
        "cifar100": MappingProxyType({**RULES, "split": Split(ways=5, dealt=True)}),
        # Tasks of all classes would need all pictures at once.
        "imagenet": MappingProxyType({"split": Split(ways=10, dealt=True)}),
    }
)


def rules_of(dataset: str) -> Mapping[str, TaskRule]:
    """How tasks are made of a data set, which need not be a known one."""
    return _RULES_OF.get(dataset, RULES)


__all__ = ["RULES", "Permuted", "Rotated", "Split", "TaskRule", "rules_of"]
