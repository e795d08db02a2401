"""Random masks over small networks, and brute force: stacked float masks under autograd."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maskstore.packed import PackedMasks
from supsup import Backbone, BackboneRecipe, build
from supsup.inference import METHODS

BY_MASKS = [name for name in METHODS if name != "prototypes"]
"""The methods that need nothing but masks."""


def odd_net(outputs: int = 5, **fields: object) -> Backbone:
    """Widths that are no multiples of eight: rows begin inside bytes, layers are padded."""
    options = {"inputs": 13, "hidden": [11, 7]}
    return build(BackboneRecipe(net="lenet-300-100", outputs=outputs, options=options, **fields))


def random_masks(
    backbone: Backbone, count: int, *, density: float = 0.5, seed: int = 0
) -> PackedMasks:
    rng = np.random.default_rng(seed)
    rows = [
        backbone.layout.pack(
            {name: rng.random(shape) < density for name, shape in backbone.layout.shapes.items()}
        )
        for _ in range(count)
    ]
    return PackedMasks(
        layout=backbone.layout,
        names=tuple(f"task/{at}" for at in range(count)),
        bits=np.stack(rows),
    )


def images(count: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.randn(count, *(shape or (13,)), generator=torch.Generator().manual_seed(seed))


def stacked(backbone: Backbone, masks: PackedMasks) -> dict[str, Tensor]:
    """All masks as float64: layer name → (task, …)."""
    unpacked = [masks.unpack(at) for at in range(len(masks))]
    return {
        name: torch.from_numpy(np.stack([m[name] for m in unpacked])).double()
        for name in backbone.layout.shapes
    }


def brute_logits(backbone: Backbone, x: Tensor, masks: PackedMasks) -> Tensor:
    """(task, batch, outputs)."""
    return torch.stack(
        [
            backbone.logits(x, backbone.tensors(masks.unpack(at))).detach()
            for at in range(len(masks))
        ]
    )


def brute_gradient(
    backbone: Backbone,
    x: Tensor,
    masks: PackedMasks,
    objective: object,
    classes: int,
    rows: Sequence[int] | None = None,
) -> np.ndarray:
    """dH/dα by autograd through Σ α_i M^i in float64, the mean over the images."""
    rows = range(len(masks)) if rows is None else rows
    double = Backbone(backbone.module.double(), None, tuple(backbone.layout.shapes))
    try:
        alpha = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64, requires_grad=True)
        layers = stacked(backbone, masks)
        mean = {n: torch.tensordot(alpha, m[list(rows)], 1) for n, m in layers.items()}
        value = objective(double.logits(x.double(), mean), classes).mean()
        return torch.autograd.grad(value, alpha)[0].numpy()
    finally:
        backbone.module.float()
