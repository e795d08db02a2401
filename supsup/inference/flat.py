"""Flat rows: one float32 a stored bit, padding included, so that packed masks lie over them."""

from collections.abc import Mapping

import torch
from jaxtyping import Float32
from torch import Tensor

from maskstore.layout import MaskLayout


def to_flat(
    layout: MaskLayout, layers: Mapping[str, Tensor], *, batch: int | None = None
) -> Float32[Tensor, "*batch numbers"]:
    """The layers as one row of ``8 * packed_bytes`` numbers, 0 in the padding, where they are.

    Args:
        batch: None for layers of the layout's shapes; else the layers have an axis of that size
            before these and there are as many rows.
    """
    rows = 1 if batch is None else batch
    device = next(iter(layers.values())).device
    flat = torch.zeros((rows, 8 * layout.packed_bytes), dtype=torch.float32, device=device)
    for name, _, where, bits in layout.layers():
        start = 8 * where.start
        flat[:, start : start + bits] = layers[name].detach().reshape(rows, bits)
    return flat[0] if batch is None else flat


def from_flat(layout: MaskLayout, flat: Float32[Tensor, "*batch numbers"]) -> dict[str, Tensor]:
    """The inverse of :func:`to_flat`, as views of the flat row."""
    ahead = flat.shape[:-1]
    return {
        name: flat[..., 8 * where.start : 8 * where.start + bits].view(*ahead, *shape)
        for name, shape, where, bits in layout.layers()
    }
