"""Gradients of several tasks in one step: of chains of linear layers by batched matrix products and
nothing else, of any other module by autograd, through ``torch.func.vmap``."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.networks.backbone import Backbone
from supsup.networks.linear_chain import LinearChain, chain_of
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs, tensors_of
from supsup.training.buffers import Buffers


class Gradients(ABC):
    """Runs the network of every row of some buffers on the row's own images."""

    @abstractmethod
    def losses(self, x: Inputs, y: Int64[Tensor, "task batch"]) -> Float[Tensor, " task"]:
        """The mean cross-entropy of each task; its gradient goes to the buffers.

        It is over all outputs, not only the task's classes: that pushes superfluous ones down.
        """


class ChainGradients(Gradients):
    """Of a chain of linear layers, forward and backward written out.

    Beside autograd it saves the gradient of the mask (the one of W ⊙ M is written where the update
    reads it) and all bookkeeping. The gradient of the images is never computed.
    """

    def __init__(self, buffers: Buffers, backbone: Backbone, chain: LinearChain) -> None:
        """Take the buffers, and the network that is a chain."""
        names = chain.weights
        weights, gradients = buffers.layers(buffers.weights), buffers.layers(buffers.gradient)
        self._weights = [weights[name] for name in names]
        self._turned = [weight.mT for weight in self._weights]
        self._gradients = [gradients[name] for name in names]
        self._type = buffers.weights.dtype
        self._biases = [
            None if name is None else backbone.module.get_parameter(name).to(self._type)
            for name in chain.biases
        ]

    def losses(self, x: Inputs, y: Int64[Tensor, "task batch"]) -> Float[Tensor, " task"]:
        assert isinstance(x, Tensor)
        inputs = [x.flatten(2).to(self._type)]
        *hidden, last = zip(self._turned, self._biases, strict=True)
        for weight, bias in hidden:
            inputs.append(_affine(inputs[-1], weight, bias).relu_())
        log_p = _affine(inputs[-1], *last).float().log_softmax(2)
        losses = log_p.gather(2, y.unsqueeze(2)).mean((1, 2)).neg_()
        # ∂loss/∂logits = (softmax - one-hot) / batch.
        pull = log_p.exp_()
        pull.scatter_add_(2, y.unsqueeze(2), pull.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))
        pull = pull.div_(y.shape[1]).to(self._type)
        for at in reversed(range(len(self._weights))):
            torch.bmm(pull.mT, inputs[at], out=self._gradients[at])
            if at:
                pull = torch.bmm(pull, self._weights[at])
                pull = torch.ops.aten.threshold_backward(pull, inputs[at], 0)
        return losses


def _affine(
    x: Float[Tensor, "task batch input"],
    weight: Float[Tensor, "task input unit"],
    bias: Float[Tensor, " unit"] | None,
) -> Float[Tensor, "task batch unit"]:
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias, x, weight)


class AnyModule(Gradients):
    """The backbone's own forward pass; ``vmap`` turns its layers into grouped ones.

    One task alone runs without ``vmap``: the same kernels as the module by itself.
    """

    def __init__(self, buffers: Buffers, backbone: Backbone) -> None:
        """Take the buffers and the network."""
        self._buffers, self._backbone = buffers, backbone

    def losses(self, x: Inputs, y: Int64[Tensor, "task batch"]) -> Float[Tensor, " task"]:
        buffers, alone = self._buffers, len(y) == 1
        leaves = {
            name: (layer[0] if alone else layer).float().detach().requires_grad_()
            for name, layer in buffers.layers(buffers.weights).items()
        }
        low = buffers.weights.dtype
        with torch.autocast(y.device.type, dtype=low, enabled=low != torch.float32):
            if alone:
                logits = self._backbone.run(map_inputs(lambda each: each[0], x), leaves)
                logits = logits.unsqueeze(0)
            else:
                logits = self._run_each(x, leaves)
        losses = F.cross_entropy(logits.flatten(0, 1).float(), y.flatten(), reduction="none")
        losses = losses.view(y.shape).mean(1)
        found = torch.autograd.grad(losses.sum(), list(leaves.values()))
        into = buffers.layers(buffers.gradient).values()
        for layer, gradient in zip(into, found, strict=True):
            layer.copy_(gradient.view(layer.shape))
        return losses.detach()

    def _run_each(
        self, x: Inputs, weights: dict[str, Tensor]
    ) -> Float[Tensor, "task batch outputs"]:
        try:
            return torch.func.vmap(self._backbone.run)(x, weights)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reason = str(error).splitlines()[0]
            raise InvalidInput(
                f"the network cannot run {len(tensors_of(x)[0])} tasks in one step ({reason}); "
                "train them one at a time (--parallel 1, in Python parallel=1)"
            ) from error


def gradients_of(buffers: Buffers, backbone: Backbone) -> Gradients:
    """The quickest way to the gradients of this network."""
    chain = chain_of(backbone)
    return (
        AnyModule(buffers, backbone) if chain is None else ChainGradients(buffers, backbone, chain)
    )
