"""Kernels in Triton, for CUDA: each byte of the masks is read once, and nothing is unpacked in
memory. They are checked in Triton's interpreter and compiled in the tests; no figure of this
project was taken on a GPU."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float32, Int32, UInt8
from torch import Tensor

from supsup.inference.kernels.base import Kernels
from supsup.inference.kernels.torch_ops import TorchKernels

_ROWS, _BYTES = 16, 256
"""Masks and bytes of them that a program holds at a time."""

_LONG = 4_096
"""Bytes of each mask that a program goes through; the parts' sums are added after."""

_MANY_ROWS = 256
"""Masks whose bits a program counts."""


class TritonKernels(Kernels):
    """One vector and counts are fused; many vectors are a matrix product of unpacked blocks, which
    takes longer to compute than its operands to read."""

    def __init__(self) -> None:
        """Keep what has nothing to fuse."""
        self._eager = TorchKernels()

    def multiply(
        self, bits: UInt8[Tensor, "task bytes"], flat: Float32[Tensor, "vector numbers"]
    ) -> Float[Tensor, "vector task"]:
        if len(flat) > 1:
            return self._eager.multiply(bits, flat)
        bits = bits.contiguous()
        rows, size = bits.shape
        # Number 8 * byte + bit at [bit, byte]: neighbouring threads read neighbouring numbers.
        planes = flat.view(size, 8).T.contiguous()
        parts = -(-size // _LONG)
        sums = torch.empty((parts, rows), dtype=torch.float32, device=bits.device)
        grid = (-(-rows // _ROWS), parts)
        sum_selected[grid](bits, planes, sums, rows, size, _ROWS, _BYTES, _LONG)
        return sums.sum(0, keepdim=True)

    def count_bits(
        self, bits: UInt8[Tensor, "task bytes"], counts: Int32[Tensor, " numbers"], step: int = 1
    ) -> None:
        bits = bits.contiguous()
        rows, size = bits.shape
        grid = (-(-size // _BYTES), -(-rows // _MANY_ROWS))
        count_selected[grid](bits, counts, rows, size, step, _MANY_ROWS, _BYTES)

    def apply_masks(
        self, bits: UInt8[Tensor, "task bytes"], weights: Float32[Tensor, " numbers"]
    ) -> Float32[Tensor, "task numbers"]:
        return self._eager.apply_masks(bits, weights)


@triton.jit
@no_type_check
def sum_selected(
    bits,
    planes,
    sums,
    rows,
    size,
    ROWS: tl.constexpr,
    BYTES: tl.constexpr,
    LONG: tl.constexpr,
):
    """For ``ROWS`` masks and ``LONG`` of their bytes the sums of the numbers whose bit is set."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(1)
    start_of = bits + row.to(tl.int64)[:, None] * size
    total = tl.zeros((ROWS, BYTES), tl.float32)
    for start in range(0, LONG, BYTES):
        byte = part * LONG + start + tl.arange(0, BYTES)
        inside = byte < size
        there = (row < rows)[:, None] & inside[None, :]
        packed = tl.load(start_of + byte[None, :], mask=there, other=0).to(tl.int32)
        for bit in tl.static_range(8):
            number = tl.load(planes + bit * size + byte, mask=inside, other=0.0)
            total += tl.where((packed & (1 << bit)) != 0, number[None, :], 0.0)
    tl.store(sums + part * rows + row, tl.sum(total, 1), mask=row < rows)


@triton.jit
@no_type_check
def count_selected(bits, counts, rows, size, step, MANY_ROWS: tl.constexpr, BYTES: tl.constexpr):
    """Of ``BYTES`` bytes of ``MANY_ROWS`` masks the set bits, added to their counts."""
    byte = tl.program_id(0) * BYTES + tl.arange(0, BYTES)
    first = tl.program_id(1) * MANY_ROWS
    inside = byte < size
    place = bits + first.to(tl.int64) * size + byte
    bit = tl.arange(0, 8)
    found = tl.zeros((BYTES, 8), tl.int32)
    for _ in range(first, min(first + MANY_ROWS, rows)):
        packed = tl.load(place, mask=inside, other=0).to(tl.int32)
        found += (packed[:, None] >> bit[None, :]) & 1
        place += size
    into = counts + byte[:, None] * 8 + bit[None, :]
    tl.atomic_add(into, found * step, mask=inside[:, None] & (bit < 8)[None, :])
