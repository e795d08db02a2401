"""Chains of linear layers in closed form: many masks, and single images' gradients, at once.

Any other module goes through ``torch.func.vmap``, which gives the same numbers; here the gradient
of one image with respect to a layer's weights is known to be an outer product, written straight
into its flat.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from supsup.inference.objectives import Objective
from supsup.networks.backbone import Backbone
from supsup.networks.linear_chain import LinearChain


def biases_of(backbone: Backbone, chain: LinearChain) -> list[Float32[Tensor, " unit"] | None]:
    """The frozen biases of each layer, where it has any."""
    return [None if name is None else backbone.module.get_parameter(name) for name in chain.biases]


def run_chain(
    backbone: Backbone,
    chain: LinearChain,
    x: Shaped[Tensor, "batch ..."],
    weights: Mapping[str, Float[Tensor, "task unit input"]],
) -> Float[Tensor, "task batch outputs"]:
    """Logits of many effective weights; the chain takes the data."""
    h = x.flatten(1)
    biases = biases_of(backbone, chain)
    for at, (name, bias) in enumerate(zip(chain.weights, biases, strict=True)):
        h = (torch.relu(h) if at else h) @ weights[name].transpose(1, 2)
        h = h if bias is None else h + bias
    return h


def image_slopes(
    backbone: Backbone,
    chain: LinearChain,
    x: Shaped[Tensor, "batch ..."],
    weights: Mapping[str, Float[Tensor, "unit input"]],
    objective: Objective,
    classes: int,
) -> Float32[Tensor, "batch numbers"]:
    """∂H/∂U of every image, as flat."""
    layout = backbone.layout
    inputs = [x.flatten(1)]
    sums: list[Tensor] = []
    for name, bias in zip(chain.weights, biases_of(backbone, chain), strict=True):
        if sums:
            inputs.append(torch.relu(sums[-1]))
        total = inputs[-1] @ weights[name].T
        sums.append((total if bias is None else total + bias).requires_grad_())
    slopes = torch.autograd.grad(objective(sums[-1], classes).sum(), sums)
    flat = torch.zeros((len(x), 8 * layout.packed_bytes), dtype=torch.float32, device=x.device)
    for (_, shape, where, bits), slope, before in zip(layout.layers(), slopes, inputs, strict=True):
        start = 8 * where.start
        layer = flat[:, start : start + bits].view(len(x), *shape)
        torch.mul(slope[:, :, None], before.detach()[:, None], out=layer)
    return flat
