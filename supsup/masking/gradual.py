"""The gradual rule: the largest scores of each layer, ever fewer while training goes on."""

import math

from jaxtyping import Bool, Float
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.masking.base import MaskRule, RuleSettings
from supsup.masking.budgets import budget
from supsup.masking.topk import largest, largest_each

RAMP = 0.5
"""Share of the steps in which the density falls; the rest is spent at the final one."""


class Gradual(MaskRule):
    """M = 1 at the k largest scores of a layer, where k falls to the budget of ``density``.

    Top-k of |score| (``TopK``) collapses below a density of about 1%: a weight that leaves the
    mask seldom returns. Here many weights compete at first, and the density falls with the cube of
    what is left of the ramp (Zhu and Gupta, 2017, "To prune, or not to prune"). The order is that
    of the scores themselves (edge-popup, Ramanujan et al., 2020, eq. 3): a weight that training
    drives away goes on falling instead of coming back through 0.

    While more weights are kept than in the end, they are made smaller by sqrt(final k / k), which
    keeps the variance of the activations; weights should be drawn for the final density
    (``init="scaled-signed-constant"``, ``fan_density=density``).
    """

    @classmethod
    def for_layout(cls, layout: MaskLayout, settings: RuleSettings) -> "Gradual":
        start = settings.start_density
        return cls(layout, settings.density, settings.budget, start_density=start)

    def __init__(
        self,
        layout: MaskLayout,
        density: float,
        kind: str,
        *,
        start_density: float,
        done: float = 1.0,
    ) -> None:
        """Fix the budgets at a share ``done`` of the steps; 1 is how masks are stored."""
        self._layout, self._density, self._kind = layout, density, kind
        self._start_density = max(start_density, density)
        left = max(0.0, 1.0 - done / RAMP) ** 3
        final = budget(layout, density, kind)
        now = min(1.0, density + (self._start_density - density) * left)
        self.keep = budget(layout, now, kind) if left else final
        self._gains = {name: math.sqrt(final[name] / k) for name, k in self.keep.items()}

    def at(self, done: float) -> "Gradual":
        return Gradual(
            self._layout,
            self._density,
            self._kind,
            start_density=self._start_density,
            done=done,
        )

    def gain(self, name: str) -> float:
        return self._gains[name]

    def select(self, name: str, scores: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
        return largest(scores, self.keep[name])

    def select_each(self, name: str, scores: Float[Tensor, "task ..."]) -> Bool[Tensor, "task ..."]:
        return largest_each(scores, self.keep[name])

    def through(self, scores: Float[Tensor, "..."], gradient: Float[Tensor, "..."]) -> None:
        """The two are the same."""
