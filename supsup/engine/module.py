"""Gradients of any module: autograd, several tasks through ``torch.func.vmap``."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.backbone import Backbone
from supsup.engine.buffers import Buffers
from supsup.engine.gradients import Gradients


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
