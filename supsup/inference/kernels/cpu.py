"""Kernels of the processor, compiled by numba: W ⊙ M for a block of masks, how many masks have each
bit set, and the product of packed bits with float32 vectors, for which every byte of the masks is
read once.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, UInt8
from numba import njit
from torch import Tensor

from supsup.inference.kernels.base import VECTOR_LENGTH, Kernels
from supsup.inference.kernels.llvm import (
    copy_selected,
    make_count_selected,
    make_sum_selected,
)
from supsup.inference.kernels.threads import split


def apply_masks(
    bits: UInt8[np.ndarray, "task bytes"], weights: Float32[np.ndarray, " numbers"]
) -> Float32[np.ndarray, "task numbers"]:
    """For every row of bits the flat row of weights, 0 where the bit is not set."""
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


_ROWS, _COLUMNS = 8, 3
"""Sums held in registers: 24 of the 32 vector registers of AVX-512."""

_block = make_sum_selected(_ROWS, _COLUMNS)
_block_of_one = make_sum_selected(_ROWS, 1)
_single = make_sum_selected(1, 1)


def multiply(
    bits: UInt8[np.ndarray, "task bytes"], flat: Float32[np.ndarray, "vector numbers"]
) -> Float64[np.ndarray, "vector task"]:
    """For every flat and every row of bits, the sum of the flat's numbers whose bit is set.

    Args:
        flat: ``8 * bytes`` numbers each.

    Sums of up to 2**16 numbers are taken in float32, in sixteen parts, and added in float64.
    """
    assert flat.shape[1] == 8 * bits.shape[1]
    out = np.zeros((len(flat), len(bits)))
    bits, flat = np.ascontiguousarray(bits), np.ascontiguousarray(flat)
    # One vector: long runs of each row, for the prefetcher. Many: flat of a block stay in L2.
    words = 4096 if len(flat) < _COLUMNS else 128
    split(lambda a, b: _multiply(bits, flat, out, a, b, words), len(bits), multiple=_ROWS)
    return out


@njit(nogil=True, cache=True)
@no_type_check
def _multiply(bits: Any, flat: Any, out: Any, start: Any, stop: Any, block_words: Any) -> None:
    parts = np.empty(_ROWS * _COLUMNS * VECTOR_LENGTH, np.float32)
    size, vectors = bits.shape[1], flat.shape[0]
    words = size // 2
    bit_at, flat_at, parts_at = bits.ctypes.data, flat.ctypes.data, parts.ctypes.data
    stride = 4 * flat.shape[1]
    whole_rows = start + (stop - start) // _ROWS * _ROWS
    whole_columns = vectors // _COLUMNS * _COLUMNS
    for word in range(0, words, block_words):
        n = min(block_words, words - word)
        for row in range(start, whole_rows, _ROWS):
            b = bit_at + row * size + 2 * word
            for column in range(0, whole_columns, _COLUMNS):
                v = flat_at + column * stride + 4 * VECTOR_LENGTH * word
                _block(b, size, v, stride, n, parts_at)
                _add(out, parts, row, _ROWS, column, _COLUMNS)
            for column in range(whole_columns, vectors):
                v = flat_at + column * stride + 4 * VECTOR_LENGTH * word
                _block_of_one(b, size, v, stride, n, parts_at)
                _add(out, parts, row, _ROWS, column, 1)
        for row in range(whole_rows, stop):
            b = bit_at + row * size + 2 * word
            for column in range(vectors):
                v = flat_at + column * stride + 4 * VECTOR_LENGTH * word
                _single(b, size, v, stride, n, parts_at)
                _add(out, parts, row, 1, column, 1)
    if size % 2:
        for row in range(start, stop):
            last = bits[row, size - 1]
            for column in range(vectors):
                for bit in range(8):
                    if last >> bit & 1:
                        out[column, row] += flat[column, 8 * (size - 1) + bit]


@njit(nogil=True, cache=True)
@no_type_check
def _add(out: Any, parts: Any, row: Any, rows: Any, column: Any, columns: Any) -> None:
    for r in range(rows):
        for c in range(columns):
            total = 0.0
            for number in range(VECTOR_LENGTH):
                total += parts[(r * columns + c) * VECTOR_LENGTH + number]
            out[column + c, row + r] += total


class CpuKernels(Kernels):
    """On tensors in the machine's memory, with as many threads as torch may use."""

    def multiply(
        self, bits: UInt8[Tensor, "task bytes"], flat: Float32[Tensor, "vector numbers"]
    ) -> Float[Tensor, "vector task"]:
        return torch.from_numpy(multiply(bits.numpy(), flat.numpy()))

    def count_bits(
        self, bits: UInt8[Tensor, "task bytes"], counts: Int32[Tensor, " numbers"], step: int = 1
    ) -> None:
        count_bits(bits.numpy(), counts.numpy(), step)

    def apply_masks(
        self, bits: UInt8[Tensor, "task bytes"], weights: Float32[Tensor, " numbers"]
    ) -> Float32[Tensor, "task numbers"]:
        return torch.from_numpy(apply_masks(bits.numpy(), weights.numpy()))
