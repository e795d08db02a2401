"""The context of every weight: its row of the table, and the size of its initial score."""

from typing import Any, no_type_check

import numpy as np

from maskstore.codecs.kernels.compiled import compiled


@compiled
@no_type_check
def pull_rows(rows: Any, columns: Any, steps: Any, last: Any, toward: Any) -> Any:
    """The row of the table that each weight has by its pull.

    Args:
        rows, columns: int16 (m, rank) and (rank, n); the pull is their product.
        steps: uint8[256], the row for each pull -128 … 127 (what is beyond is cut).
        last: the last row of the table.
        toward: uint8[m * n]; where it is 0, the rows of the table count from the last.
    """
    m, rank = rows.shape
    n = columns.shape[1]
    line = np.empty(n, np.int16)
    out = np.empty(m * n, np.uint8)
    for row in range(m):
        line[:] = 0
        for k in range(rank):
            factor = rows[row, k]
            if factor:
                for column in range(n):
                    line[column] += factor * columns[k, column]
        start = row * n
        for column in range(n):
            step = steps[min(max(line[column], -128), 127) + 128]
            out[start + column] = step if toward[start + column] else last - step
    return out


@compiled
@no_type_check
def look_up_levels(rows: Any, sizes: Any, shift: Any, table: Any) -> Any:
    """The level of every weight: ``table[row, size >> shift]``, all uint8."""
    out = np.empty(len(sizes), np.uint8)
    for at in range(len(sizes)):
        out[at] = table[rows[at], sizes[at] >> shift]
    return out


@compiled
@no_type_check
def count_contexts(rows: Any, sizes: Any, bits: Any, number: Any, bound: Any) -> Any:
    """How often a bit of each context is clear, and how often set: int64 (2, number, bound).

    Args:
        rows: uint8 below ``number``.
        sizes: uint8 below ``bound``.
        bits: uint8, 0 or 1.
    """
    counts = np.zeros((2, number, bound), np.int64)
    for at in range(len(sizes)):
        counts[bits[at], rows[at], sizes[at]] += 1
    return counts
