"""W ⊙ M for a block of packed masks, as float32 rows."""

from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

from supsup.inference.kernels.threads import split
from supsup.inference.kernels.vectors import copy_selected


def apply_masks(
    bits: UInt8[np.ndarray, "task bytes"], weights: Float32[np.ndarray, " numbers"]
) -> Float32[np.ndarray, "task numbers"]:
    """For every row of bits the frame of weights, 0 where the bit is not set."""
    assert len(weights) == 8 * bits.shape[1]
    out = np.empty((len(bits), len(weights)), np.float32)
    bits, weights = np.ascontiguousarray(bits), np.ascontiguousarray(weights)
    split(lambda a, b: _apply(bits, weights, out, a, b), len(bits))
    return out


@njit(nogil=True, cache=True)
@no_type_check
def _apply(bits: Any, weights: Any, out: Any, start: Any, stop: Any) -> None:
    size = bits.shape[1]
    for row in range(start, stop):
        copy_selected(
            bits.ctypes.data + row * size,
            weights.ctypes.data,
            size // 2,
            out.ctypes.data + 4 * row * out.shape[1],
        )
        if size % 2:
            for bit in range(8):
                at = 8 * (size - 1) + bit
                keep = bits[row, size - 1] >> bit & 1
                out[row, at] = weights[at] if keep else np.float32(0)
