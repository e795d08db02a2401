"""The family of updates: from the gradient of W ⊙ M to the next scores and the next W ⊙ M."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float32
from torch import Tensor

from supsup.config import TrainConfig
from supsup.engine.buffers import Buffers
from supsup.optimizers import make_optimizer
from supsup.rules.base import MaskRule


class Update(ABC):
    """Moves the scores of all rows of buffers, in place."""

    @abstractmethod
    def step(self, lr: float, done: float) -> None:
        """One step at that rate with ``buffers.gradient``; then ``weights`` fit the scores.

        Args:
            done: share of the steps that are done after this one, 0 to 1.
        """


class OptimizerUpdate(Update):
    """Any mask rule with any of PyTorch's optimizers, on any device.

    The chain rule by hand: ∂L/∂score = W ⊙ ∂L/∂(W ⊙ M), times what the rule says of ∂M/∂score.
    """

    def __init__(
        self,
        buffers: Buffers,
        frozen: Float32[Tensor, " bits"],
        rule: MaskRule,
        config: TrainConfig,
    ) -> None:
        """Take the scores as they are, and make ``buffers.weights`` fit them."""
        self._buffers, self._frozen, self._rule = buffers, frozen, rule.at(0.0)
        self._pull = torch.empty_like(buffers.scores)
        self._normed = config.optimizer == "normed-sgd"
        self._optimizer = make_optimizer(
            config.optimizer,
            [buffers.scores],
            config.peak_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        buffers.scores.grad = self._pull
        refresh(buffers, frozen, self._rule)

    def step(self, lr: float, done: float) -> None:
        buffers = self._buffers
        torch.mul(buffers.gradient, self._frozen, out=self._pull)
        for name, layer in buffers.layers(self._pull).items():
            if (gain := self._rule.gain(name)) != 1.0:
                layer.mul_(gain)
        self._rule.through(buffers.scores, self._pull)
        if self._normed:
            for layer in buffers.layers(self._pull).values():
                _to_unit_rms(layer)
        self._optimizer.param_groups[0]["lr"] = lr
        self._optimizer.step()
        self._rule = self._rule.at(done)
        refresh(buffers, self._frozen, self._rule)


def refresh(buffers: Buffers, frozen: Float32[Tensor, " bits"], rule: MaskRule) -> None:
    """Make ``buffers.weights`` the frozen weights under the masks of the scores."""
    weights = buffers.layers(buffers.weights)
    whole = buffers.layers(frozen.unsqueeze(0))
    for name, layer in buffers.layers(buffers.scores).items():
        torch.mul(whole[name], rule.select_each(name, layer), out=weights[name])
        if (gain := rule.gain(name)) != 1.0:
            weights[name].mul_(gain)


def _to_unit_rms(layer: Float32[Tensor, "task ..."]) -> None:
    """Scale each task's gradient of a layer to root mean square 1, in place; 0 stays 0."""
    rms = layer.flatten(1).square().mean(1).sqrt_()
    rms.clamp_(min=torch.finfo(rms.dtype).tiny)
    layer.div_(rms.view(-1, *[1] * (layer.ndim - 1)))
