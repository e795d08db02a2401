"""Fully connected ReLU nets in closed form: many masks, and single images' gradients, at once.

Any other module goes through ``torch.func.vmap``, which gives the same numbers; here the gradient
of one image with respect to a layer's weights is known to be an outer product, written straight
into its flat.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from supsup.inference.objectives import Objective
from supsup.networks.backbone import Backbone
from supsup.networks.mlp import Mlp


def is_plain(backbone: Backbone) -> bool:
    """Whether the network is linear layers with ReLU between them, and masks cover them all."""
    module = backbone.module
    return isinstance(module, Mlp) and len(list(module.children())) == len(backbone.layout.shapes)


def takes(backbone: Backbone, x: Float[Tensor, "batch ..."]) -> bool:
    """Whether images have the size of a plain network's input."""
    first = next(iter(backbone.layout.shapes.values()))
    return x[0].numel() == first[1]


def run_plain(
    x: Float[Tensor, "batch ..."], weights: Mapping[str, Float[Tensor, "task unit input"]]
) -> Float[Tensor, "task batch outputs"]:
    """Logits of many effective weights; the data has the network's size (:func:`takes`)."""
    *hidden, last = weights.values()
    h = x.flatten(1)
    for weight in hidden:
        h = torch.relu(h @ weight.transpose(1, 2))
    return h @ last.transpose(1, 2)


def image_slopes(
    backbone: Backbone,
    x: Float[Tensor, "batch ..."],
    weights: Mapping[str, Float[Tensor, "unit input"]],
    objective: Objective,
    classes: int,
) -> Float32[Tensor, "batch numbers"]:
    """∂H/∂U of every image, as flat."""
    layout = backbone.layout
    inputs = [x.flatten(1)]
    sums: list[Tensor] = []
    for weight in weights.values():
        if sums:
            inputs.append(torch.relu(sums[-1]))
        sums.append((inputs[-1] @ weight.T).requires_grad_())
    slopes = torch.autograd.grad(objective(sums[-1], classes).sum(), sums)
    flat = torch.zeros((len(x), 8 * layout.packed_bytes), device=x.device)
    for (_, shape, where, bits), slope, before in zip(layout.layers(), slopes, inputs, strict=True):
        start = 8 * where.start
        layer = flat[:, start : start + bits].view(len(x), *shape)
        torch.mul(slope[:, :, None], before.detach()[:, None], out=layer)
    return flat
