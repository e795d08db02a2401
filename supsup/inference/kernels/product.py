"""Packed bit matrix times float32 vectors: every byte of the masks is read once."""

from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numba import njit

from supsup.inference.kernels.threads import split
from supsup.inference.kernels.vectors import LANES, make_sum_selected

_ROWS, _COLUMNS = 8, 3
"""Sums held in registers: 24 of the 32 vector registers of AVX-512."""

_block = make_sum_selected(_ROWS, _COLUMNS)
_block_of_one = make_sum_selected(_ROWS, 1)
_single = make_sum_selected(1, 1)


def multiply(
    bits: UInt8[np.ndarray, "task bytes"], frames: Float32[np.ndarray, "vector numbers"]
) -> Float64[np.ndarray, "vector task"]:
    """For every frame and every row of bits, the sum of the frame's numbers whose bit is set.

    Args:
        frames: ``8 * bytes`` numbers each.

    Sums of up to 2**16 numbers are taken in float32, in sixteen parts, and added in float64.
    """
    assert frames.shape[1] == 8 * bits.shape[1]
    out = np.zeros((len(frames), len(bits)))
    bits, frames = np.ascontiguousarray(bits), np.ascontiguousarray(frames)
    # One vector: long runs of each row, for the prefetcher. Many: frames of a block stay in L2.
    words = 4096 if len(frames) < _COLUMNS else 128
    split(lambda a, b: _multiply(bits, frames, out, a, b, words), len(bits), multiple=_ROWS)
    return out


@njit(nogil=True, cache=True)
@no_type_check
def _multiply(bits: Any, frames: Any, out: Any, start: Any, stop: Any, block_words: Any) -> None:
    parts = np.empty(_ROWS * _COLUMNS * LANES, np.float32)
    size, vectors = bits.shape[1], frames.shape[0]
    words = size // 2
    bit_at, frame_at, parts_at = bits.ctypes.data, frames.ctypes.data, parts.ctypes.data
    stride = 4 * frames.shape[1]
    whole_rows = start + (stop - start) // _ROWS * _ROWS
    whole_columns = vectors // _COLUMNS * _COLUMNS
    for word in range(0, words, block_words):
        n = min(block_words, words - word)
        for row in range(start, whole_rows, _ROWS):
            b = bit_at + row * size + 2 * word
            for column in range(0, whole_columns, _COLUMNS):
                v = frame_at + column * stride + 4 * LANES * word
                _block(b, size, v, stride, n, parts_at)
                _add(out, parts, row, _ROWS, column, _COLUMNS)
            for column in range(whole_columns, vectors):
                v = frame_at + column * stride + 4 * LANES * word
                _block_of_one(b, size, v, stride, n, parts_at)
                _add(out, parts, row, _ROWS, column, 1)
        for row in range(whole_rows, stop):
            b = bit_at + row * size + 2 * word
            for column in range(vectors):
                v = frame_at + column * stride + 4 * LANES * word
                _single(b, size, v, stride, n, parts_at)
                _add(out, parts, row, 1, column, 1)
    if size % 2:
        for row in range(start, stop):
            last = bits[row, size - 1]
            for column in range(vectors):
                for bit in range(8):
                    if last >> bit & 1:
                        out[column, row] += frames[column, 8 * (size - 1) + bit]


@njit(nogil=True, cache=True)
@no_type_check
def _add(out: Any, parts: Any, row: Any, rows: Any, column: Any, columns: Any) -> None:
    for r in range(rows):
        for c in range(columns):
            total = 0.0
            for lane in range(LANES):
                total += parts[(r * columns + c) * LANES + lane]
            out[column + c, row + r] += total
