"""Linear layers in Triton of which every row has a mask of its own: W ⊙ M is never made.

A program has some rows and some units. It loads the units' weights once for all its rows, of every
row the bits, each once, and adds up the products whose bit is set.
"""

from typing import no_type_check

import triton
import triton.language as tl
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from supsup.inference.kernels.mixed_device import MaskedLinear

_ROWS, _UNITS, _NUMBERS = 4, 8, 64
"""Rows and units of a program, and the inputs that it goes through at a time: 2,048 sums."""


class TritonMaskedLinear(MaskedLinear):
    """One launch a layer."""

    def run(
        self,
        x: Float32[Tensor, "batch inputs"],
        bits: UInt8[Tensor, "mask bytes"],
        first: int,
        which: Int64[Tensor, " batch"],
        weight: Float32[Tensor, "units inputs"],
        bias: Float32[Tensor, " units"],
        out: Float32[Tensor, "batch width"],
        *,
        rectified: bool,
    ) -> None:
        (rows, inputs), units = x.shape, len(weight)
        grid = (-(-rows // _ROWS), -(-units // _UNITS))
        sizes = (rows, units, inputs, bits.shape[1], first, out.shape[1])
        blocks = (rectified, _ROWS, _UNITS, _NUMBERS)
        masked_linear[grid](x, bits, which, weight, bias, out, *sizes, *blocks)


@triton.jit
@no_type_check
def masked_linear(
    x,
    bits,
    which,
    weight,
    bias,
    out,
    rows,
    units,
    inputs,
    size,
    first,
    width,
    RECTIFIED: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    NUMBERS: tl.constexpr,
):
    """``ROWS`` by ``UNITS`` of the layer's outputs.

    ``size`` is that of a mask in bytes, ``first`` where the layer's begin, ``width`` the step from
    one row of ``out`` to the next.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    row_there, unit_there = row < rows, unit < units
    mask = tl.load(which + row, mask=row_there, other=0)
    # A unit's bits begin at a whole byte: inputs are a multiple of 16.
    of_unit = first + unit * (inputs // 8)
    begin = mask[:, None] * size + of_unit[None, :]
    pair_there = row_there[:, None] & unit_there[None, :]
    total = tl.zeros((ROWS, UNITS, NUMBERS), tl.float32)
    for start in range(0, inputs, NUMBERS):
        number = start + tl.arange(0, NUMBERS)
        inside = number < inputs
        x_there = row_there[:, None] & inside[None, :]
        w_there = unit_there[:, None] & inside[None, :]
        image = tl.load(x + row[:, None] * inputs + number[None, :], mask=x_there, other=0.0)
        frozen = tl.load(weight + unit[:, None] * inputs + number[None, :], mask=w_there, other=0.0)
        at = begin[:, :, None] + (number // 8)[None, None, :]
        there = pair_there[:, :, None] & inside[None, None, :]
        packed = tl.load(bits + at, mask=there, other=0).to(tl.int32)
        kept = ((packed >> (number % 8)[None, None, :]) & 1) != 0
        total += tl.where(kept, frozen[None, :, :] * image[:, None, :], 0.0)
    added = tl.load(bias + unit, mask=unit_there, other=0.0)
    sums = tl.sum(total, 2) + added[None, :]
    if RECTIFIED:
        sums = tl.maximum(sums, 0.0)
    tl.store(out + row[:, None] * width + unit[None, :], sums, mask=pair_there)
