"""The task rules by name, and which of them each data set has."""

from collections.abc import Mapping
from types import MappingProxyType

from maskstore.registry import Registry
from supsup.tasks.families.base import TaskRule
from supsup.tasks.families.permuted import Permuted
from supsup.tasks.families.rotated import Rotated
from supsup.tasks.families.split import Split

RULES: Registry[TaskRule] = Registry(
    "task rule", {"split": Split(), "permuted": Permuted(), "rotated": Rotated()}
)
"""Rule name, as in recipes and task names → rule."""

# The paper deals the classes of both to its tasks at random, 20 tasks of 5 and 100 of 10.
_SPLIT_OF: Mapping[str, TaskRule] = MappingProxyType(
    {"cifar100": Split(ways=5, dealt=True), "imagenet": Split(ways=10, dealt=True)}
)


def rules_of(dataset: str) -> Mapping[str, TaskRule]:
    """How tasks are made of a data set, which need not be a known one."""
    if dataset == "imagenet":  # tasks of all classes would need all pictures at once
        return {"split": _SPLIT_OF[dataset]}
    return {**RULES, "split": _SPLIT_OF.get(dataset, RULES["split"])}


__all__ = ["RULES", "Permuted", "Rotated", "Split", "TaskRule", "rules_of"]
