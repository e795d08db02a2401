"""Mask rules: how real scores become a binary mask, and how gradients reach the scores."""

from supsup.rules.base import MaskRule
from supsup.rules.density import budget
from supsup.rules.gradual import Gradual
from supsup.rules.threshold import Threshold
from supsup.rules.topk import TopK

__all__ = ["Gradual", "MaskRule", "Threshold", "TopK", "budget"]
