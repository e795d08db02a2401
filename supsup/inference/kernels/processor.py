"""Kernels of the processor: numba."""

import torch
from jaxtyping import Float, Float32, Int32, UInt8
from torch import Tensor

from supsup.inference.kernels.apply import apply_masks
from supsup.inference.kernels.base import Kernels
from supsup.inference.kernels.count import count_bits
from supsup.inference.kernels.product import multiply


class Processor(Kernels):
    """On tensors in the machine's memory, with as many threads as torch may use."""

    def multiply(
        self, bits: UInt8[Tensor, "task bytes"], frames: Float32[Tensor, "vector numbers"]
    ) -> Float[Tensor, "vector task"]:
        return torch.from_numpy(multiply(bits.numpy(), frames.numpy()))

    def count_bits(
        self, bits: UInt8[Tensor, "task bytes"], counts: Int32[Tensor, " numbers"], step: int = 1
    ) -> None:
        count_bits(bits.numpy(), counts.numpy(), step)

    def apply_masks(
        self, bits: UInt8[Tensor, "task bytes"], weights: Float32[Tensor, " numbers"]
    ) -> Float32[Tensor, "task numbers"]:
        return torch.from_numpy(apply_masks(bits.numpy(), weights.numpy()))
