"""The family of mask rules."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskstore.errors import InvalidInput


class MaskRule(ABC):
    """Turns one layer's scores into its mask."""

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

    @abstractmethod
    def relax(self, name: str, scores: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The same mask as 0. and 1., with the straight-through gradient to the scores."""

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


class StraightThrough(torch.autograd.Function):
    """Forward the mask, backward as if the mask were the scores (Bengio et al., 2013)."""

    @staticmethod
    def forward(scores: Tensor, mask: Tensor) -> Tensor:
        """The mask as numbers of the scores' type."""
        return mask.to(scores.dtype)

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None:
        """Nothing is kept: the gradient passes unchanged."""

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of the mask is that of the scores."""
        return gradients[0], None
