"""The family of mask rules."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout


@runtime_checkable
class RuleSettings(Protocol):
    """What a training configuration (:class:`supsup.TrainConfig`) says to a rule."""

    @property
    def density(self) -> float: ...
    @property
    def budget(self) -> str: ...
    @property
    def multiplier(self) -> float | None: ...
    @property
    def start_density(self) -> float: ...


class MaskRule(ABC):
    """Turns one layer's scores into its mask.

    Attributes:
        by_size: whether the largest |score| are kept, not the largest scores.
    """

    by_size: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def for_layout(cls, layout: MaskLayout, settings: RuleSettings) -> "MaskRule":
        """The rule for one network, as a training configuration has it."""

    @abstractmethod
    def select(self, name: str, scores: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
        """The mask of layer ``name``; scores are finite."""

    @abstractmethod
    def select_each(self, name: str, scores: Float[Tensor, "task ..."]) -> Bool[Tensor, "task ..."]:
        """The masks of layer ``name`` of several tasks, each as ``select`` gives it."""

    @abstractmethod
    def through(self, scores: Float[Tensor, "..."], gradient: Float[Tensor, "..."]) -> None:
        """Make ∂L/∂M, of any layers, ∂L/∂scores; in place."""

    def at(self, done: float) -> "MaskRule":
        """The rule when that share of the steps is done, 0 to 1; most are the same throughout."""
        return self

    def gain(self, name: str) -> float:
        """By what the weights of layer ``name`` are multiplied while training is at this point."""
        return 1.0

    def trained_start(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The scores that a layer of trained weights starts from: |W| in [0, 1/sqrt(fan_in)].

        Sehwag et al. (2020), "HYDRA", scaled initialization: scores in proportion to the weights,
        so that the first masks keep the largest. Here to |W|, as some rules order scores and not
        their size; scaled as seeded scores are (:class:`maskstore.seeded.scores.ScoreStart`).
        """
        size = weight.abs()
        fan_in = math.prod(weight.shape[1:]) if weight.ndim > 1 else len(weight)
        largest = size.max().clamp_min(torch.finfo(size.dtype).tiny)
        return size / largest / math.sqrt(fan_in)

    def relax(self, name: str, scores: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The mask of ``select`` as 0. and 1., its gradient that of ``through``; for autograd."""
        return _StraightThrough.apply(scores, self, name)

    def masks(self, scores: Mapping[str, Tensor]) -> dict[str, Bool[np.ndarray, "..."]]:
        """The masks of all layers, as they are stored.

        Raises:
            InvalidInput: a score is NaN or infinite.
        """
        for name, layer in scores.items():
            bad = int(layer.numel() - torch.isfinite(layer).sum())
            if bad:
                raise InvalidInput(
                    f"scores of layer {name!r}: {bad} of {layer.numel()} are NaN or infinite; "
                    "no mask can be made of them"
                )
        return {
            name: self.select(name, layer.detach()).cpu().numpy() for name, layer in scores.items()
        }


class _StraightThrough(torch.autograd.Function):
    """Forward the mask, backward as if it were a smooth function (Bengio et al., 2013)."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, rule: MaskRule, name: str) -> Tensor:
        ctx.save_for_backward(scores)
        ctx.rule = rule
        return rule.select(name, scores).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (scores,) = ctx.saved_tensors
        gradient = gradients[0].clone()
        ctx.rule.through(scores, gradient)
        return gradient, None, None
