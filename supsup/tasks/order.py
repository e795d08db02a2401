"""The order in which training images are seen, from a seed."""

from collections.abc import Iterator
from itertools import count

import torch
from jaxtyping import Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import permutation


def batches(
    seed: int, name: str, size: int, batch: int, device: torch.device
) -> Iterator[Int64[Tensor, " batch"]]:
    """Endless batches of indices below ``size``, every one full.

    Pass e over the images is the seeded permutation for the purpose ``"order/<name>/<e>"``; the
    passes follow each other without a gap, so a batch may end one pass and begin the next.

    Raises:
        InvalidInput: there is no image.
    """
    if size < 1:
        raise InvalidInput(f"task {name!r}: no training images")
    waiting = torch.empty(0, dtype=torch.int64, device=device)
    for epoch in count():
        order = torch.from_numpy(permutation(seed, f"order/{name}/{epoch}", size))
        waiting = torch.cat([waiting, order.to(device)])
        while waiting.numel() >= batch:
            yield waiting[:batch]
            waiting = waiting[batch:]
