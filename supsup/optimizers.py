"""PyTorch's optimizers by the names that configurations give them."""

from collections.abc import Sequence

import torch
from torch import Tensor


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
        name: ``adam``, ``rmsprop``, or any other for SGD with momentum.
        momentum: of SGD.
        weight_decay: L2 pull towards 0.
    """
    if name == "rmsprop":  # has no fused form
        return torch.optim.RMSprop(tensors, lr, weight_decay=weight_decay, foreach=True)
    fused = tensors[0].device.type in ("cpu", "cuda")
    if name == "adam":
        return torch.optim.Adam(tensors, lr, weight_decay=weight_decay, fused=fused)
    return torch.optim.SGD(tensors, lr, momentum=momentum, weight_decay=weight_decay, fused=fused)
