"""Gradients of several tasks in one step: of plain linear nets by batched matrix products and
nothing else, of any other module by autograd, through ``torch.func.vmap``."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from supsup.networks.backbone import Backbone
from supsup.networks.mlp import Mlp
from supsup.training.buffers import Buffers


class Gradients(ABC):
    """Runs the network of every row of some buffers on the row's own images."""

    @abstractmethod
    def losses(
        self, x: Float[Tensor, "task batch ..."], y: Int64[Tensor, "task batch"]
    ) -> Float[Tensor, " task"]:
        """The mean cross-entropy of each task; its gradient goes to the buffers.

        It is over all outputs, not only the task's classes: that pushes superfluous ones down.
        """


class LinearChain(Gradients):
    """Linear layers without biases, ReLU between them; forward and backward written out.

    Beside autograd it saves the gradient of the mask (the one of W ⊙ M is written where the update
    reads it) and all bookkeeping. The gradient of the images is never computed.
    """

    def __init__(self, buffers: Buffers, names: Sequence[str]) -> None:
        """Take the buffers, and the names of the layers' weights, the first layer's first."""
        weights, gradients = buffers.layers(buffers.weights), buffers.layers(buffers.gradient)
        self._weights = [weights[name] for name in names]
        self._turned = [weight.mT for weight in self._weights]
        self._gradients = [gradients[name] for name in names]
        self._type = buffers.weights.dtype

    def losses(
        self, x: Float[Tensor, "task batch ..."], y: Int64[Tensor, "task batch"]
    ) -> Float[Tensor, " task"]:
        inputs = [x.flatten(2).to(self._type)]
        for weight in self._turned[:-1]:
            inputs.append(torch.bmm(inputs[-1], weight).relu_())
        log_p = torch.bmm(inputs[-1], self._turned[-1]).float().log_softmax(2)
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


def linear_names(backbone: Backbone) -> tuple[str, ...] | None:
    """The weights of a backbone that is a plain linear net, in order; None if it is another.

    That is an :class:`Mlp`, or an ``nn.Sequential`` of ``Linear`` without bias and ``ReLU`` between
    them (``Flatten`` may come first), all of its weights under masks.
    """
    module = backbone.module
    if type(module) is Mlp:
        names = [f"{name}.weight" for name, _ in module.named_children()]
    elif type(module) is nn.Sequential:
        children = list(module.named_children())
        if children and type(children[0][1]) is nn.Flatten and children[0][1].start_dim == 1:
            del children[0]
        linear, between = children[::2], children[1::2]
        plain = all(type(layer) is nn.Linear and layer.bias is None for _, layer in linear)
        if not (len(children) % 2 and plain and all(type(r) is nn.ReLU for _, r in between)):
            return None
        names = [f"{name}.weight" for name, _ in linear]
    else:
        return None
    return tuple(names) if set(names) == set(backbone.layout.shapes) else None


class AnyModule(Gradients):
    """The backbone's own forward pass; ``vmap`` turns its layers into grouped ones.

    One task alone runs without ``vmap``: the same kernels as the module by itself.
    """

    def __init__(self, buffers: Buffers, backbone: Backbone) -> None:
        """Take the buffers and the network."""
        self._buffers, self._backbone = buffers, backbone

    def losses(
        self, x: Float[Tensor, "task batch ..."], y: Int64[Tensor, "task batch"]
    ) -> Float[Tensor, " task"]:
        buffers, alone = self._buffers, len(x) == 1
        leaves = {
            name: (layer[0] if alone else layer).float().detach().requires_grad_()
            for name, layer in buffers.layers(buffers.weights).items()
        }
        low = buffers.weights.dtype
        with torch.autocast(x.device.type, dtype=low, enabled=low != torch.float32):
            if alone:
                logits = self._backbone.run(x[0], leaves).unsqueeze(0)
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
        self, x: Float[Tensor, "task batch ..."], weights: dict[str, Tensor]
    ) -> Float[Tensor, "task batch outputs"]:
        try:
            return torch.func.vmap(self._backbone.run)(x, weights)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reason = str(error).splitlines()[0]
            raise InvalidInput(
                f"the network cannot run {len(x)} tasks in one step ({reason}); "
                "train them one at a time (--parallel 1, in Python parallel=1)"
            ) from error
