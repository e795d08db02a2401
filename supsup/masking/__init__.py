"""Mask rules: how real scores become a binary mask, and how gradients reach the scores."""

from maskstore.registry import Registry
from supsup.masking.base import MaskRule
from supsup.masking.budgets import budget
from supsup.masking.gradual import Gradual
from supsup.masking.threshold import Threshold
from supsup.masking.topk import TopK

RULES: Registry[type[MaskRule]] = Registry(
    "mask rule", {"threshold": Threshold, "topk": TopK, "gradual": Gradual}
)
"""What ``rule`` of a training configuration names."""

__all__ = ["RULES", "Gradual", "MaskRule", "Threshold", "TopK", "budget"]
