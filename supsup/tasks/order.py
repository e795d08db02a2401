"""The order in which training images are seen, and which are kept from training, from a seed."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import permutation


def batches(
    seed: int, name: str, size: int, batch: int, device: torch.device, *, held_out: int = 0
) -> Iterator[Int64[Tensor, " batch"]]:
    """Endless batches of indices below ``size``, every one full.

    Pass e over the images is the seeded permutation for the purpose ``"order/<name>/<e>"`` without
    those of :func:`held_out_images`; the passes follow each other without a gap, so a batch may
    end one pass and begin the next.

    Args:
        held_out: how many images are in no batch. As they are the last of pass 0, a training that
            does not get to them is the same for any number.

    Raises:
        InvalidInput: there is no image.
    """
    if size - held_out < 1:
        raise InvalidInput(f"task {name!r}: no training images")
    seen = np.ones(size, np.bool_)
    waiting = torch.empty(0, dtype=torch.int64, device=device)
    for epoch in count():
        order = _pass(seed, name, size, epoch)
        if epoch == 0:
            seen[order[size - held_out :]] = False
        waiting = torch.cat([waiting, torch.from_numpy(order[seen[order]]).to(device)])
        while waiting.numel() >= batch:
            yield waiting[:batch]
            waiting = waiting[batch:]


def held_out_images(seed: int, name: str, size: int, count: int) -> Int64[Tensor, " count"]:
    """Indices of the training images that training does not see: the last ``count`` of pass 0."""
    return torch.from_numpy(_pass(seed, name, size, 0)[size - count :])


def _pass(seed: int, name: str, size: int, epoch: int) -> Int64[np.ndarray, " image"]:
    return permutation(seed, f"order/{name}/{epoch}", size)
