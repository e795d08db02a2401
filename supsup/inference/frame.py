"""Frames: one float32 a stored bit, padding included, so that packed masks lie over them."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from maskstore.layout import MaskLayout


def to_frames(
    layout: MaskLayout, layers: Mapping[str, Tensor], *, batch: int | None = None
) -> Float32[np.ndarray, "*batch numbers"]:
    """The layers as one row of ``8 * packed_bytes`` numbers, 0 in the padding.

    Args:
        batch: None for layers of the layout's shapes; else the layers have an axis of that size
            before these and there are as many rows.
    """
    rows = 1 if batch is None else batch
    frames = np.zeros((rows, 8 * layout.packed_bytes), np.float32)
    for name, _, where, bits in layout.layers():
        start = 8 * where.start
        into = torch.from_numpy(frames[:, start : start + bits])
        into.copy_(layers[name].detach().reshape(rows, bits))
    return frames[0] if batch is None else frames


def from_frames(
    layout: MaskLayout, frames: Float32[np.ndarray, "*batch numbers"], device: torch.device
) -> dict[str, Tensor]:
    """The inverse of :func:`to_frames`; views of the frames where the device is the CPU."""
    rows = torch.from_numpy(frames)
    ahead = rows.shape[:-1]
    return {
        name: rows[..., 8 * where.start : 8 * where.start + bits].view(*ahead, *shape).to(device)
        for name, shape, where, bits in layout.layers()
    }
