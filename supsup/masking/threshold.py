"""The threshold rule: keep every weight whose score is not negative."""

from jaxtyping import Bool, Float
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.masking.base import MaskRule, RuleSettings


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

    def through(self, scores: Float[Tensor, "..."], gradient: Float[Tensor, "..."]) -> None:
        """The two are the same."""
