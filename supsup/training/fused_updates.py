"""Updates under the threshold rule on the CPU: one pass over memory where PyTorch needs six; and
which update a training takes.

With PyTorch's formulas and its defaults for what :class:`TrainConfig` does not name.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from supsup._lazy import compiled
from supsup.masking.base import MaskRule
from supsup.masking.threshold import Threshold
from supsup.networks.backbone import Backbone
from supsup.networks.linear_chain import chain_of
from supsup.training.buffers import Buffers
from supsup.training.config import TrainConfig
from supsup.training.updates import OptimizerUpdate, Update, refresh

_ALPHA = np.float32(0.99)
_BETA1, _BETA2 = np.float32(0.9), np.float32(0.999)
_EPS = np.float32(1e-8)


class FusedUpdate(Update):
    """What ``OptimizerUpdate`` does under the threshold rule, for one optimizer."""

    def __init__(
        self, buffers: Buffers, frozen: Float32[Tensor, " bits"], config: TrainConfig
    ) -> None:
        """Take the scores as they are, and make ``buffers.weights`` fit them.

        Args:
            frozen: in the order of the layout.
        """
        (frozen,) = buffers.as_here(frozen[None])
        refresh(buffers, frozen, Threshold())
        self._arrays = (
            buffers.scores.numpy(),
            buffers.gradient.numpy(),
            buffers.weights.numpy(),
            frozen.numpy(),
        )
        self._decay = np.float32(config.weight_decay)

    def _zeros(self) -> Float32[np.ndarray, "task bits"]:
        return np.zeros_like(self._arrays[0])


class FusedSgd(FusedUpdate):
    """``torch.optim.SGD`` with momentum."""

    def __init__(
        self, buffers: Buffers, frozen: Float32[Tensor, " bits"], config: TrainConfig
    ) -> None:
        super().__init__(buffers, frozen, config)
        self._speed, self._momentum = self._zeros(), np.float32(config.momentum)

    def step(self, lr: float, done: float) -> None:
        _sgd(*self._arrays, self._speed, np.float32(lr), self._momentum, self._decay)


class FusedRmsprop(FusedUpdate):
    """``torch.optim.RMSprop``."""

    def __init__(
        self, buffers: Buffers, frozen: Float32[Tensor, " bits"], config: TrainConfig
    ) -> None:
        super().__init__(buffers, frozen, config)
        self._squares = self._zeros()

    def step(self, lr: float, done: float) -> None:
        _rmsprop(*self._arrays, self._squares, np.float32(lr), self._decay)


class FusedAdam(FusedUpdate):
    """``torch.optim.Adam``."""

    def __init__(
        self, buffers: Buffers, frozen: Float32[Tensor, " bits"], config: TrainConfig
    ) -> None:
        super().__init__(buffers, frozen, config)
        self._means, self._squares = self._zeros(), self._zeros()
        self._steps = 0

    def step(self, lr: float, done: float) -> None:
        self._steps += 1
        rate = np.float32(lr / (1 - float(_BETA1) ** self._steps))
        scale = np.float32(1 / np.sqrt(1 - float(_BETA2) ** self._steps))
        _adam(*self._arrays, self._means, self._squares, rate, scale, self._decay)


FUSED: dict[str, Callable[..., FusedUpdate]] = {
    "adam": FusedAdam,
    "rmsprop": FusedRmsprop,
    "sgd": FusedSgd,
}
"""By the name of the optimizer."""


def update_of(buffers: Buffers, backbone: Backbone, rule: MaskRule, config: TrainConfig) -> Update:
    """The quickest update of this rule and optimizer on this device."""
    frozen = backbone.flat_weights()
    if _fits(backbone, buffers.weights.dtype, rule, config):
        return FUSED[config.optimizer](buffers, frozen, config)
    return OptimizerUpdate(buffers, frozen, rule, config)


def turned_for(
    backbone: Backbone, dtype: torch.dtype, rule: MaskRule, config: TrainConfig
) -> tuple[str, ...]:
    """The layers that are trained more quickly turned in memory.

    It is the first of a chain, whose products with sparse images read the weights of an input in
    one piece, and where the update is fused: that takes numbers in any order.
    """
    chain = chain_of(backbone)
    fits = chain is not None and _fits(backbone, dtype, rule, config)
    return chain.weights[:1] if chain is not None and fits else ()


def _fits(backbone: Backbone, dtype: torch.dtype, rule: MaskRule, config: TrainConfig) -> bool:
    here = backbone.device.type == "cpu" and dtype == torch.float32
    return here and config.optimizer in FUSED and type(rule) is Threshold


# error_model="numpy": no branch for a division by zero, so that the loops become vector code.
@compiled(error_model="numpy")
@no_type_check
def _sgd(
    scores: Any,
    gradient: Any,
    weights: Any,
    frozen: Any,
    speed: Any,
    lr: Any,
    momentum: Any,
    decay: Any,
) -> None:
    zero = np.float32(0)
    for task in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            score, weight = scores[task, i], frozen[i]
            move = momentum * speed[task, i] + (gradient[task, i] * weight + decay * score)
            score -= lr * move
            speed[task, i] = move
            scores[task, i] = score
            weights[task, i] = weight if score >= zero else zero


@compiled(error_model="numpy")
@no_type_check
def _rmsprop(
    scores: Any,
    gradient: Any,
    weights: Any,
    frozen: Any,
    squares: Any,
    lr: Any,
    decay: Any,
) -> None:
    zero, rest = np.float32(0), np.float32(1) - _ALPHA
    for task in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            score, weight = scores[task, i], frozen[i]
            pull = gradient[task, i] * weight + decay * score
            square = _ALPHA * squares[task, i] + rest * (pull * pull)
            score -= lr * pull / (np.sqrt(square) + _EPS)
            squares[task, i] = square
            scores[task, i] = score
            weights[task, i] = weight if score >= zero else zero


@compiled(error_model="numpy")
@no_type_check
def _adam(
    scores: Any,
    gradient: Any,
    weights: Any,
    frozen: Any,
    means: Any,
    squares: Any,
    rate: Any,
    scale: Any,
    decay: Any,
) -> None:
    zero, rest1, rest2 = np.float32(0), np.float32(1) - _BETA1, np.float32(1) - _BETA2
    for task in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            score, weight = scores[task, i], frozen[i]
            pull = gradient[task, i] * weight + decay * score
            mean = means[task, i] + rest1 * (pull - means[task, i])
            square = _BETA2 * squares[task, i] + rest2 * (pull * pull)
            score -= rate * mean / (np.sqrt(square) * scale + _EPS)
            means[task, i] = mean
            squares[task, i] = square
            scores[task, i] = score
            weights[task, i] = weight if score >= zero else zero
