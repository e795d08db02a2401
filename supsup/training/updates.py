"""From the gradient of W ⊙ M to the next scores and the next W ⊙ M: by PyTorch's optimizers or,
where there is one, in one fused pass.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from maskstore.registry import check_one_of
from supsup.masking.base import MaskRule
from supsup.training.buffers import Buffers
from supsup.training.config import OPTIMIZERS, TrainConfig


def make_optimizer(
    name: str,
    tensors: Sequence[Tensor],
    lr: float,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """The optimizer of tensors of one device, in the quickest form that it has there.

    Args:
        name: one of :data:`supsup.training.config.OPTIMIZERS`. ``normed-sgd`` is SGD; whoever asks
            for it scales the gradients.
        momentum: of SGD.
        weight_decay: L2 pull towards 0.

    Raises:
        InvalidInput: an unknown name.
    """
    check_one_of("optimizer", name, OPTIMIZERS)
    if name == "rmsprop":  # has no fused form
        return torch.optim.RMSprop(tensors, lr, weight_decay=weight_decay, foreach=True)
    fused = tensors[0].device.type in ("cpu", "cuda")
    if name == "adam":
        return torch.optim.Adam(tensors, lr, weight_decay=weight_decay, fused=fused)
    return torch.optim.SGD(tensors, lr, momentum=momentum, weight_decay=weight_decay, fused=fused)


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
        """Take the scores as they are, and make ``buffers.weights`` fit them.

        Args:
            frozen: in the order of the layout.
        """
        self._buffers, self._rule = buffers, rule.at(0.0)
        (self._frozen,) = buffers.as_here(frozen[None])
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
        refresh(buffers, self._frozen, self._rule)

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
    """Make ``buffers.weights`` the frozen weights under the masks of the scores.

    Args:
        frozen: in the order of the buffers.
    """
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


class OwnUpdate:
    """Moves the parameters that each task has of its own, by Adam at a rate of their own."""

    def __init__(self, buffers: Buffers, config: TrainConfig) -> None:
        """Take the parameters as they are; where there are none, nothing is done."""
        self._optimizer: torch.optim.Optimizer | None = None
        self._share = config.own_lr / config.peak_lr
        if not buffers.own:
            return
        for name, each in buffers.own.items():
            each.grad = buffers.own_gradient[name]
        self._optimizer = make_optimizer("adam", list(buffers.own.values()), config.own_lr)

    def step(self, lr: float) -> None:
        """One step; ``lr`` is the rate of the scores, whose schedule these follow."""
        if self._optimizer is not None:
            self._optimizer.param_groups[0]["lr"] = lr * self._share
            self._optimizer.step()
