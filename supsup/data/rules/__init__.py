"""The task rules by name."""

from collections.abc import Mapping
from types import MappingProxyType

from maskstore.errors import InvalidInput
from supsup.data.rules.base import TaskRule
from supsup.data.rules.permuted import Permuted
from supsup.data.rules.rotated import Rotated
from supsup.data.rules.split import Split

RULES: Mapping[str, TaskRule] = MappingProxyType(
    {"split": Split(), "permuted": Permuted(), "rotated": Rotated()}
)
"""Rule name, as in recipes and task names → rule."""


def find_rule(name: str) -> TaskRule:
    """The rule of a name; raises InvalidInput, listing the known ones, on another name."""
    if name not in RULES:
        raise InvalidInput(f"unknown task rule {name!r}; known: {', '.join(RULES)}")
    return RULES[name]


__all__ = ["RULES", "Permuted", "Rotated", "Split", "TaskRule", "find_rule"]
