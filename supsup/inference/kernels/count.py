"""How many masks have each bit set: the superposed mask, before its division by their number."""

from typing import Any, no_type_check

import numpy as np
from jaxtyping import Int32, UInt8
from numba import njit

from supsup.inference.kernels.threads import split
from supsup.inference.kernels.vectors import make_count_selected

_ROWS = 8
_BLOCK_WORDS = 512
"""Counts of a block, 32 KB, stay in the first cache while all rows pass over them."""

_count_rows = make_count_selected(_ROWS)
_count_row = make_count_selected(1)


def count_bits(
    bits: UInt8[np.ndarray, "task bytes"], counts: Int32[np.ndarray, " numbers"], step: int = 1
) -> None:
    """Add ``step`` to the count of every set bit, in place.

    Args:
        counts: ``8 * bytes`` counts; contiguous.
        step: 1 to add masks, -1 to take them away.
    """
    assert len(counts) == 8 * bits.shape[1]
    assert counts.flags.c_contiguous
    bits = np.ascontiguousarray(bits)
    split(lambda a, b: _count(bits, counts, step, a, b), bits.shape[1], multiple=2 * _BLOCK_WORDS)


@njit(nogil=True, cache=True)
@no_type_check
def _count(bits: Any, counts: Any, step: Any, start: Any, stop: Any) -> None:
    rows, size = bits.shape
    whole = rows // _ROWS * _ROWS
    end = start + (stop - start) // 2 * 2
    bit_at, count_at = bits.ctypes.data, counts.ctypes.data
    for byte in range(start, end, 2 * _BLOCK_WORDS):
        words = min(_BLOCK_WORDS, (end - byte) // 2)
        target = count_at + 4 * 8 * byte
        for row in range(0, whole, _ROWS):
            _count_rows(bit_at + row * size + byte, size, words, target, step)
        for row in range(whole, rows):
            _count_row(bit_at + row * size + byte, size, words, target, step)
    for byte in range(end, stop):
        for row in range(rows):
            for bit in range(8):
                if bits[row, byte] >> bit & 1:
                    counts[8 * byte + bit] += step
