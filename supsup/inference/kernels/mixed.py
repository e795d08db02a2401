"""Rows of a batch that each have a mask of their own: fully connected ReLU nets on packed bits.

Sixteen weights are read once for several rows, and multiplied where each row's bits say so: the
arithmetic of one dense product, with a register of bits before every addition. No W ⊙ M is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

from maskstore.layout import MaskLayout
from supsup.inference.kernels.llvm import VECTOR_LENGTH, make_masked_product
from supsup.inference.kernels.threads import split

_ROWS, _OUTPUTS = 4, 4
"""Sums held in registers: 16, beside 4 vectors of inputs and one of weights."""

_UNITS = 64
"""Units whose weights stay in the second cache while all rows pass over them."""

_block = make_masked_product(_ROWS, _OUTPUTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedLayers:
    """Weights of a chain of linear layers, laid out for masks whose units begin at whole vectors.

    Attributes:
        shapes: (units, inputs) of each layer.
        weights: of each layer, zeros up to whole vectors of inputs and whole blocks of units.
        biases: of each layer, with the zeros of its units; zeros where it has none.
        first_bytes: where each layer's bits begin in an aligned mask; and their end.
    """

    shapes: tuple[tuple[int, int], ...]
    weights: tuple[Float32[np.ndarray, "_ _"], ...]
    biases: tuple[Float32[np.ndarray, " _"], ...]
    first_bytes: tuple[int, ...]

    @classmethod
    def of(
        cls,
        weights: Sequence[Float32[np.ndarray, "_ _"]],
        biases: Sequence[Float32[np.ndarray, " _"] | None],
    ) -> "AlignedLayers":
        """Of the layers' own weights and biases, the first layer first."""
        wide, added, first = [], [], [0]
        for weight, bias in zip(weights, biases, strict=True):
            units, inputs = weight.shape
            whole = -(-units // _OUTPUTS) * _OUTPUTS, _whole(inputs)
            wide.append(np.zeros(whole, np.float32))
            wide[-1][:units, :inputs] = weight
            added.append(np.zeros(whole[0], np.float32))
            if bias is not None:
                added[-1][:units] = bias
            first.append(first[-1] + whole[0] * whole[1] // 8)
        shapes = tuple((len(weight), weight.shape[1]) for weight in weights)
        return cls(
            shapes=shapes, weights=tuple(wide), biases=tuple(added), first_bytes=tuple(first)
        )

    def align(self, packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout) -> "AlignedMask":
        """A mask as :func:`run_mixed` takes it.

        Args:
            packed: as archives store it, of a layout with these layers and no others.
        """
        out = np.zeros(self.first_bytes[-1], np.uint8)
        layers = zip(layout.layers(), self.shapes, self.weights, self.first_bytes, strict=False)
        for (_, _, where, bits), (units, inputs), wide, first in layers:
            size = wide.shape[1] // 8
            target = out[first : first + wide.shape[0] * size].reshape(-1, size)
            if inputs % 8 == 0:
                target[:units, : inputs // 8] = packed[where].reshape(units, -1)
            else:
                flat = np.unpackbits(packed[where], count=bits, bitorder="little")
                rows = flat.reshape(units, inputs)
                target[:units, : -(-inputs // 8)] = np.packbits(rows, axis=1, bitorder="little")
        return AlignedMask(out)


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
        after = np.zeros((batch, _whole(len(wide))), np.float32)
        arrays = (addresses, layers.first_bytes[at], wide, bias, before, after, not last)
        split(lambda a, b, arrays=arrays: _run(*arrays, a, b), batch, multiple=_ROWS)  # type: ignore[misc]
        before = after
    return before[: len(x), : layers.shapes[-1][0]]


def _whole(numbers: int) -> int:
    return -(-numbers // VECTOR_LENGTH) * VECTOR_LENGTH


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
    sums = np.empty(_ROWS * _OUTPUTS, np.float32)
    masks = np.empty(_ROWS, np.int64)
    for begun in range(0, units, _UNITS):
        for row in range(start, stop, _ROWS):
            for unit in range(begun, min(begun + _UNITS, units), _OUTPUTS):
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
                    for o in range(_OUTPUTS):
                        total = sums[r * _OUTPUTS + o] + biases[unit + o]
                        if rectified:
                            total = max(total, np.float32(0))
                        out[row + r, unit + o] = total
