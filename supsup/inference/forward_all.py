"""Every mask on its own: K forward passes, or the price of the ones where these are few."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from supsup.inference.bank import MaskBank
from supsup.inference.kernels import run_sparse
from supsup.inference.linear import run_chain
from supsup.networks.linear_chain import chain_of
from supsup.networks.probe import probe
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import count_of

_BLOCK_BYTES = 2**25
"""Memory for the unpacked weights of a block of masks."""

_CACHED_BYTES = 2**22
"""Memory for a block of logits that are read several times at once."""

Reduce = Callable[
    [Float[Tensor, "task batch outputs"], Int64[np.ndarray, " task"]], Float[Tensor, "task batch"]
]
"""A number of each image from logits and the masks that they are of."""


def forward_masks(
    bank: MaskBank,
    x: Inputs,
    reduce: Reduce,
    rows: Int64[np.ndarray, " n"] | None = None,
) -> Float64[np.ndarray, "task batch"]:
    """``reduce`` of the logits of every mask (or those of ``rows``) on every image.

    Raises:
        InvalidInput: the network does not take the data.
    """
    chain = chain_of(bank.backbone)
    if chain is not None and not (isinstance(x, Tensor) and chain.takes(x)):
        chain = None  # the network itself says what is wrong with the data
    if rows is None and chain is not None and bank.sparse is not None and isinstance(x, Tensor):
        return _forward_sparse(bank, x, reduce)
    size = max(1, _BLOCK_BYTES // bank.weights.nbytes)
    count = len(bank) if rows is None else len(rows)
    values = np.empty((count, count_of(x)))
    run: Callable[[Any, dict[str, Tensor]], Tensor]
    run = partial(_run_each, bank) if chain is None else partial(run_chain, bank.backbone, chain)
    with torch.no_grad():
        for start in range(0, count, size):
            where = slice(start, min(start + size, count))
            logits = run(x, bank.masked(where if rows is None else rows[where]))
            masks = np.arange(where.start, where.stop) if rows is None else rows[where]
            values[where] = reduce(logits, masks).cpu().numpy()
            bank.progress("trying", where.stop, count)
    return values


def _run_each(
    bank: MaskBank, x: Inputs, weights: dict[str, Tensor]
) -> Float[Tensor, "task batch outputs"]:
    """The network under each of some weights, in one pass if it can."""
    if probe(bank.backbone, x).masks_apart is None:
        return torch.func.vmap(bank.run, in_dims=(None, 0))(x, weights)
    names = list(weights)
    rows = zip(*weights.values(), strict=True)
    return torch.stack([bank.run(x, dict(zip(names, row, strict=True))) for row in rows])


def _forward_sparse(
    bank: MaskBank, x: Float[Tensor, "batch ..."], reduce: Reduce
) -> Float64[np.ndarray, "task batch"]:
    masks = bank.sparse
    assert masks is not None
    images = x.flatten(1).numpy()
    size = max(1, _CACHED_BYTES // (4 * masks.widths[-1] * len(x)))
    values = np.empty((len(bank), len(x)))
    with torch.no_grad():
        for start in range(0, len(bank), size):
            stop = min(start + size, len(bank))
            logits = torch.from_numpy(run_sparse(masks, images, start, stop))
            values[start:stop] = reduce(logits.transpose(1, 2), np.arange(start, stop)).numpy()
            bank.progress("trying", stop, len(bank))
    return values
