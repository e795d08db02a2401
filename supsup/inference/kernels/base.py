"""The family of kernels, and the flat rows that they work on: one float32 a stored bit, padding
included, so that packed masks lie over them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float, Float32, Int32, UInt8
from torch import Tensor

from maskstore.layout import MaskLayout

VECTOR_LENGTH = 16
"""Numbers that loops of the processor take at a time, and the bits of a mask for them."""


class Kernels(ABC):
    """The three operations on packed masks, for the device that the masks are on.

    Bits stay packed, 1 bit a weight: least significant bit first, as in the archive.
    """

    @abstractmethod
    def multiply(
        self, bits: UInt8[Tensor, "task bytes"], flat: Float32[Tensor, "vector numbers"]
    ) -> Float[Tensor, "vector task"]:
        """For every flat and every row of bits, the sum of the flat's numbers whose bit is set.

        Args:
            flat: ``8 * bytes`` numbers each.

        Sums of float32 numbers within 1e-5 of their largest.
        """

    @abstractmethod
    def count_bits(
        self, bits: UInt8[Tensor, "task bytes"], counts: Int32[Tensor, " numbers"], step: int = 1
    ) -> None:
        """Add ``step`` to the count of every set bit, in place.

        Args:
            counts: ``8 * bytes`` counts; contiguous.
            step: 1 to add masks, -1 to take them away.
        """

    @abstractmethod
    def apply_masks(
        self, bits: UInt8[Tensor, "task bytes"], weights: Float32[Tensor, " numbers"]
    ) -> Float32[Tensor, "task numbers"]:
        """For every row of bits the flat row of weights, 0 where the bit is not set."""


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
