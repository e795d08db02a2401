"""SGD under the threshold rule on the CPU: one pass over memory where PyTorch needs six."""

from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32
from numba import njit
from torch import Tensor

from supsup.config import TrainConfig
from supsup.engine.buffers import Buffers
from supsup.engine.updates import Update, refresh
from supsup.rules.threshold import Threshold


class FusedSgd(Update):
    """What ``OptimizerUpdate`` does for this pair, in 0.5 ms instead of 2 (275,200 scores)."""

    def __init__(
        self, buffers: Buffers, frozen: Float32[Tensor, " bits"], config: TrainConfig
    ) -> None:
        """Take the scores as they are, and make ``buffers.weights`` fit them."""
        refresh(buffers, frozen, Threshold())
        self._scores = buffers.scores.numpy()
        self._gradient = buffers.gradient.numpy()
        self._weights = buffers.weights.numpy()
        self._frozen = frozen.numpy()
        self._speed = np.zeros_like(self._scores)
        self._momentum = np.float32(config.momentum)
        self._decay = np.float32(config.weight_decay)

    def step(self, lr: float, done: float) -> None:
        _step(
            self._scores,
            self._speed,
            self._gradient,
            self._weights,
            self._frozen,
            np.float32(lr),
            self._momentum,
            self._decay,
        )


@njit(nogil=True, cache=True)
@no_type_check
def _step(
    scores: Any,
    speed: Any,
    gradient: Any,
    weights: Any,
    frozen: Any,
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
