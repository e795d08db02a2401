"""Mask rules: how real scores become a binary mask, and how gradients reach the scores."""

from supsup.masking.base import MaskRule
from supsup.masking.budgets import budget
from supsup.masking.gradual import Gradual
from supsup.masking.threshold import Threshold
from supsup.masking.topk import TopK

__all__ = ["Gradual", "MaskRule", "Threshold", "TopK", "budget"]
