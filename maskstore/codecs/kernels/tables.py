"""Tables of levels and their code."""

from typing import Any, no_type_check

import numpy as np

from maskstore.codecs.kernels.compiled import compiled


@compiled
@no_type_check
def predict(table: Any, row: Any, column: Any, first: Any) -> Any:
    """What the levels before (row, column) suggest for it; ``first`` where there are none."""
    if row == 0:
        return np.int64(table[0, column - 1]) if column else first
    above = np.int64(table[row - 1, column])
    if column == 0:
        return above
    left, corner = np.int64(table[row, column - 1]), np.int64(table[row - 1, column - 1])
    low, high = min(above, left), max(above, left)
    if corner <= low:
        return high
    if corner >= high:
        return low
    return above + left - corner


@compiled
@no_type_check
def distances(table: Any, first: Any) -> Any:
    """How far each level of a table is from what is predicted, row after row."""
    rows, columns = table.shape
    out = np.empty(rows * columns, np.int32)
    for row in range(rows):
        for column in range(columns):
            predicted = predict(table, row, column, first)
            out[row * columns + column] = table[row, column] - predicted
    return out


@compiled
@no_type_check
def undo_distances(away: Any, first: Any, levels: Any) -> Any:
    """The table with those distances (row, column), cut to 1 … ``levels``."""
    rows, columns = away.shape
    table = np.empty((rows, columns), np.uint8)
    for row in range(rows):
        for column in range(columns):
            level = predict(table, row, column, first) + away[row, column]
            table[row, column] = min(max(level, 1), levels)
    return table


@compiled
@no_type_check
def follow(ones: Any, zeros: Any, cost_one: Any, cost_zero: Any, own: Any, first: Any) -> Any:
    """Level after level, the one that is cheapest together with its own distance.

    Args:
        ones, zeros: int64 (row, column), how many bits of each context are set and clear.
        cost_one, cost_zero: float64, bits of a set and a clear bit under levels 1, 2, ….
        own: float64, bits of a distance, from the least to the largest that there is.

    Returns:
        (uint8 table, bits of everything).
    """
    rows, columns = ones.shape
    levels, reach = len(cost_one), len(own) // 2
    table = np.zeros((rows, columns), np.uint8)
    total = 0.0
    for row in range(rows):
        for column in range(columns):
            middle = predict(table, row, column, first)
            a, b = ones[row, column], zeros[row, column]
            best, chosen = np.inf, 0
            for level in range(max(1, middle - reach), min(levels, middle + reach) + 1):
                bits = a * cost_one[level - 1] + b * cost_zero[level - 1]
                bits += own[level - middle + reach]
                if bits < best:
                    best, chosen = bits, level
            table[row, column] = chosen
            total += best
    return table, total
