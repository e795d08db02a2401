"""The threshold rule: keep every weight whose score is not negative."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.masking.base import MaskRule, RuleSettings

PIGGYBACK_START = 1e-2 - 5e-3
"""Mallya et al. (2018): real-valued masks start at 1e-2 and their threshold is 5e-3; here it is 0,
so scores start at the difference."""


class Threshold(MaskRule):
    """M = 1 where score >= 0 (Mallya et al., 2018; the paper's MNIST experiments).

    The gradient is straight through: ∂L/∂score = ∂L/∂M. The density is free; scores that start
    symmetric about 0 keep it near one half.
    """

    @classmethod
    def for_layout(cls, layout: MaskLayout, settings: RuleSettings) -> "Threshold":
        return cls()

    def select(self, name: str, scores: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
        return scores >= 0

    def select_each(self, name: str, scores: Float[Tensor, "task ..."]) -> Bool[Tensor, "task ..."]:
        return scores >= 0

    def trained_start(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Piggyback's: every weight is kept, at the same small distance from being dropped."""
        return torch.full_like(weight, PIGGYBACK_START)

    def through(self, scores: Float[Tensor, "..."], gradient: Float[Tensor, "..."]) -> None:
        """The two are the same."""
