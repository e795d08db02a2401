"""The task rules by name."""

from collections.abc import Mapping
from types import MappingProxyType

from supsup.data.rules.base import TaskRule
from supsup.data.rules.permuted import Permuted
from supsup.data.rules.rotated import Rotated
from supsup.data.rules.split import Split

RULES: Mapping[str, TaskRule] = MappingProxyType(
    {"split": Split(), "permuted": Permuted(), "rotated": Rotated()}
)
"""Rule name, as in recipes and task names → rule."""


__all__ = ["RULES", "Permuted", "Rotated", "Split", "TaskRule"]
