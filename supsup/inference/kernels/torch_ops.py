"""Kernels in plain torch, for any device: some masks at a time are unpacked, used and dropped."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Float32, Int32, UInt8
from torch import Tensor

from supsup.inference.kernels.base import Kernels

UNPACKED_BYTES = 2**26
"""Memory for masks that are unpacked to float32, 32 times their size."""


class TorchKernels(Kernels):
    """Every byte of the masks is read once; what it is unpacked to goes through memory.

    The products are those of the device's matrix product: of masks that are equal they may differ
    by rounding, so that of such masks not always the first is found.
    """

    def multiply(
        self, bits: UInt8[Tensor, "task bytes"], flat: Float32[Tensor, "vector numbers"]
    ) -> Float[Tensor, "vector task"]:
        products = [flat @ unpack(part).float().T for part in _parts(bits)]
        return torch.cat(products, dim=1)

    def count_bits(
        self, bits: UInt8[Tensor, "task bytes"], counts: Int32[Tensor, " numbers"], step: int = 1
    ) -> None:
        for part in _parts(bits):
            counts.add_(unpack(part).sum(0, dtype=torch.int32), alpha=step)

    def apply_masks(
        self, bits: UInt8[Tensor, "task bytes"], weights: Float32[Tensor, " numbers"]
    ) -> Float32[Tensor, "task numbers"]:
        return torch.where(unpack(bits), weights, 0.0)


def unpack(bits: UInt8[Tensor, "task bytes"]) -> Bool[Tensor, "task numbers"]:
    """One boolean a bit."""
    powers = 2 ** torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (bits.unsqueeze(-1) & powers).flatten(1).bool()


def _parts(bits: UInt8[Tensor, "task bytes"]) -> Iterator[UInt8[Tensor, "part bytes"]]:
    yield from bits.split(max(1, UNPACKED_BYTES // (32 * bits.shape[1])))
