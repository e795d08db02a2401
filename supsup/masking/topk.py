"""The top-k rule (edge-popup): keep the k weights of each layer with the largest |score|."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.masking.base import MaskRule, RuleSettings
from supsup.masking.budgets import budget, paper_budget


class TopK(MaskRule):
    """M = 1 at exactly the k largest |score| of a layer; of equal ones the first by index.

    Ramanujan et al. (2020), "What's hidden in a randomly weighted neural network?". The gradient
    is straight through to |score|: ∂L/∂score = sign(score) · ∂L/∂M.
    """

    by_size = True

    @classmethod
    def for_layout(cls, layout: MaskLayout, settings: RuleSettings) -> "TopK":
        if settings.multiplier is not None:
            return cls(paper_budget(layout, settings.multiplier))
        return cls(budget(layout, settings.density, settings.budget))

    def __init__(self, keep: Mapping[str, int]) -> None:
        """Fix the number of weights that each layer keeps, at least 1 (see ``budget``)."""
        self.keep = dict(keep)

    def select(self, name: str, scores: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
        return largest(scores.abs(), self.keep[name])

    def select_each(self, name: str, scores: Float[Tensor, "task ..."]) -> Bool[Tensor, "task ..."]:
        return largest_each(scores.abs(), self.keep[name])

    def through(self, scores: Float[Tensor, "..."], gradient: Float[Tensor, "..."]) -> None:
        gradient.mul_(scores.sign())


def largest(values: Float[Tensor, "..."], k: int) -> Bool[Tensor, "..."]:
    """Exactly k True, at the largest values; ties go to the lower row-major index."""
    return largest_each(values.unsqueeze(0), k).squeeze(0)


def largest_each(values: Float[Tensor, "task ..."], k: int) -> Bool[Tensor, "task ..."]:
    """``largest`` of every row."""
    rows = values.flatten(1)
    on_cpu = rows.device.type == "cpu"
    at = rows.shape[1] - k
    bar = _kth_smallest_on_cpu(rows, at) if on_cpu else rows.kthvalue(at + 1, keepdim=True).values
    chosen = rows >= bar
    # Counting first is cheap on the CPU and ends nearly every call; a GPU would have to wait.
    if not (on_cpu and bool((chosen.sum(1) == k).all())):
        # All above the k-th largest value are in; those equal to it fill the rest in order.
        level = rows == bar
        missing = k - (rows > bar).sum(1, keepdim=True, dtype=torch.int32)
        chosen &= ~level | (level.cumsum(1, dtype=torch.int32) <= missing)
    return chosen.view(values.shape)


def _kth_smallest_on_cpu(rows: Float[Tensor, "task n"], index: int) -> Float[Tensor, "task 1"]:
    # NumPy's vectorised partition: 0.4 ms for 235,200 scores, torch.kthvalue takes 3 ms.
    return torch.from_numpy(np.partition(rows.numpy(), index, axis=1))[:, index : index + 1]
