"""Rows of a batch that each have a mask of their own: fully connected ReLU nets on packed bits.

Sixteen weights are read once for several rows, and multiplied where each row's bits say so: the
arithmetic of one dense product, with a register of bits before every addition. No W ⊙ M is made.
"""

from collections.abc import Sequence
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numba import njit
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.inference.kernels.aligned import UNITS, AlignedLayers, MixedRows, whole
from supsup.inference.kernels.base import VECTOR_LENGTH
from supsup.inference.kernels.llvm import make_masked_product
from supsup.inference.kernels.threads import split

_ROWS = 4
"""Sums held in registers: 4 by ``UNITS``, beside 4 vectors of inputs and one of weights."""

_UNITS = 64
"""Units whose weights stay in the second cache while all rows pass over them."""

_block = make_masked_product(_ROWS, UNITS)


class AlignedMask:
    """The bits of a mask, each unit's from a whole vector on, and where they lie in memory."""

    __slots__ = ("address", "bits")

    def __init__(self, bits: UInt8[np.ndarray, " bytes"]) -> None:
        """Keep the bits; the address is good as long as this is kept."""
        self.bits, self.address = bits, bits.ctypes.data

    @property
    def nbytes(self) -> int:
        """Memory of the bits."""
        return self.bits.nbytes


class CpuMixedRows(MixedRows[AlignedMask]):
    """In the processor's memory, with as many threads as torch may use."""

    def __init__(self, layers: AlignedLayers) -> None:
        """Take the frozen weights."""
        self._layers = layers

    def align(self, packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout) -> AlignedMask:
        return AlignedMask(self._layers.align(packed, layout))

    def run(
        self, masks: Sequence[AlignedMask], x: Float32[Tensor, "batch inputs"]
    ) -> Float32[Tensor, "batch outputs"]:
        return torch.from_numpy(run_mixed(self._layers, masks, x.numpy()))


def run_mixed(
    layers: AlignedLayers, masks: Sequence[AlignedMask], x: Float32[np.ndarray, "batch inputs"]
) -> Float32[np.ndarray, "batch outputs"]:
    """The logits of every row under its own mask; ReLU between layers, none after the last.

    Args:
        masks: one a row, the same one for as many rows as you like.
    """
    assert len(masks) == len(x)
    assert x.shape[1] == layers.shapes[0][1]
    batch = -(-len(x) // _ROWS) * _ROWS
    # Rows beyond the last are of its mask and of zeros.
    addresses = np.array([mask.address for mask in masks], np.int64)
    addresses = np.pad(addresses, (0, batch - len(x)), mode="edge")
    before = np.zeros((batch, layers.weights[0].shape[1]), np.float32)
    before[: len(x), : x.shape[1]] = x
    for at, (wide, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        last = at + 1 == len(layers.weights)
        after = np.zeros((batch, whole(len(wide))), np.float32)
        arrays = (addresses, layers.first_bytes[at], wide, bias, before, after, not last)
        split(lambda a, b, arrays=arrays: _run(*arrays, a, b), batch, multiple=_ROWS)  # type: ignore[misc]
        before = after
    return before[: len(x), : layers.shapes[-1][0]]


@njit(nogil=True, cache=True)
@no_type_check
def _run(
    addresses: Any,
    first_byte: Any,
    weights: Any,
    biases: Any,
    x: Any,
    out: Any,
    rectified: Any,
    start: Any,
    stop: Any,
) -> None:
    units, inputs = weights.shape
    size, words = inputs // 8, inputs // VECTOR_LENGTH
    sums = np.empty(_ROWS * UNITS, np.float32)
    masks = np.empty(_ROWS, np.int64)
    for begun in range(0, units, _UNITS):
        for row in range(start, stop, _ROWS):
            for unit in range(begun, min(begun + _UNITS, units), UNITS):
                for r in range(_ROWS):
                    masks[r] = addresses[row + r] + first_byte + unit * size
                _block(
                    masks.ctypes.data,
                    size,
                    weights.ctypes.data + 4 * unit * inputs,
                    4 * inputs,
                    x.ctypes.data + 4 * row * x.shape[1],
                    4 * x.shape[1],
                    words,
                    sums.ctypes.data,
                )
                for r in range(_ROWS):
                    for o in range(UNITS):
                        total = sums[r * UNITS + o] + biases[unit + o]
                        if rectified:
                            total = max(total, np.float32(0))
                        out[row + r, unit + o] = total
