"""Footprint: the memory that a task in flight takes."""

from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from supsup.backbone import Backbone
from supsup.config import TrainConfig
from supsup.protocols import TaskData

BYTES_A_WEIGHT = 28
"""Scores, effective weights, their gradient as autograd gives it and as it is kept, the pull on the
scores, and two moments, all float32. Most optimizers keep one."""


def bytes_of(task: TaskData, backbone: Backbone, config: TrainConfig) -> int:
    """What training ``task`` takes beside the backbone and the task's images.

    One of the test images is looked at, as the training ones may come only in order; where there
    is none, training will say so.
    """
    each = 0
    for x, _ in task.test_batches(1):
        each = activation_bytes(backbone, x[:1].to(backbone.device), config.precision)
        break
    images = config.batch + config.outliers_a_batch
    return BYTES_A_WEIGHT * backbone.layout.bits + images * each


def activation_bytes(backbone: Backbone, x: Float[Tensor, "1 ..."], precision: str) -> int:
    """What the backward pass of any module keeps of each image: measured, not modelled.

    All that autograd saves in a forward pass grows with the images, but for the weights; so two
    passes tell it, over two images and over four (batch statistics need more than one).
    """
    few, more = (
        _saved_bytes(backbone.twin(), x.expand(n, *x.shape[1:]).contiguous(), precision)
        for n in (2, 4)
    )
    return (more - few) // 2


def _saved_bytes(backbone: Backbone, x: Float[Tensor, "batch ..."], precision: str) -> int:
    storages: dict[int, torch.UntypedStorage] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage  # views of one are kept once
        return tensor

    leaves = {name: w.detach().requires_grad_() for name, w in backbone.weights.items()}
    low = precision == "bfloat16"
    with (
        torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor),
        torch.autocast(x.device.type, torch.bfloat16) if low else nullcontext(),
    ):
        logits = backbone.run(x, leaves)
    del logits
    return sum(storage.nbytes() for storage in storages.values())
