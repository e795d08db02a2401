"""Tables of probability levels by context, and their code.

A table has rows and columns along which its probabilities change smoothly, so a level is coded as
its distance from what its neighbours above and to the left predict (the median edge detector of
LOCO-I / JPEG-LS: Weinberger, Seroussi and Sapiro, 1996).
"""

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from maskstore.codecs.coder import SPREADS, Decoder, Encoder, geometric, uniform
from maskstore.codecs.levels import BITS_OF_ONE, BITS_OF_ZERO, HALF, LEVELS

_REACH = 24
"""Farthest distance from the prediction."""
_SIZES = np.abs(np.arange(-_REACH, _REACH + 1))
_TRIED_SPREADS = (1, 4, 8, 11, 13)


def choose_table(
    ones: Int64[np.ndarray, "row column"], bits: Int64[np.ndarray, "row column"]
) -> tuple[UInt8[np.ndarray, "row column"], int, float]:
    """The table that makes itself and the bits under it cheapest, near enough.

    Returns:
        (levels, spread of their distances, ideal code length of everything in bits).
    """
    costs = ones[..., None] * BITS_OF_ONE + (bits - ones)[..., None] * BITS_OF_ZERO
    best = None
    for spread in _TRIED_SPREADS:
        candidate = _follow(costs, spread)
        if best is None or candidate[2] < best[2]:
            best = candidate
    assert best is not None
    return best


def _follow(
    costs: Float64[np.ndarray, "row column level"], spread: int
) -> tuple[UInt8[np.ndarray, "row column"], int, float]:
    """Level after level, the one that is cheapest together with its own distance."""
    weights = (spread / 16) ** _SIZES
    own = -np.log2(weights / weights.sum())
    rows, columns, _ = costs.shape
    table = np.zeros((rows, columns), np.uint8)
    total = 0.0
    for row in range(rows):
        for column in range(columns):
            middle = _predict(table, row, column)
            low, high = max(1, middle - _REACH), min(LEVELS, middle + _REACH)
            tried = (
                costs[row, column, low - 1 : high]
                + own[low - middle + _REACH : high - middle + _REACH + 1]
            )
            chosen = int(tried.argmin())
            total += float(tried[chosen])
            table[row, column] = low + chosen
    return table, spread, total


def _predict(table: UInt8[np.ndarray, "row column"], row: int, column: int) -> int:
    """What the levels before (row, column) suggest for it; the first is near one half."""
    if row == 0:
        return int(table[0, column - 1]) if column else HALF
    above = int(table[row - 1, column])
    if column == 0:
        return above
    left, corner = int(table[row, column - 1]), int(table[row - 1, column - 1])
    low, high = min(above, left), max(above, left)
    return high if corner <= low else low if corner >= high else above + left - corner


def put_table(encoder: Encoder, table: UInt8[np.ndarray, "row column"], spread: int) -> None:
    """Append the spread and the distances."""
    rows, columns = table.shape
    distances = [
        int(table[row, column]) - _predict(table, row, column) + _REACH
        for row in range(rows)
        for column in range(columns)
    ]
    encoder.put(uniform(len(SPREADS)), [spread - 1])
    encoder.put(geometric(spread, _REACH), distances)


def take_table(
    decoder: Decoder, rows: int, columns: int
) -> tuple[UInt8[np.ndarray, "row column"], int]:
    """(levels, spread). Levels beyond the ends, which only a forgery has, become the end levels."""
    spread = decoder.take_one(uniform(len(SPREADS))) + 1
    distances = decoder.take(geometric(spread, _REACH), rows * columns).tolist()
    # Plain lists: a thousand steps of a recursion, not for numpy.
    table: list[list[int]] = []
    at = iter(distances)
    above: list[int] = []
    for _ in range(rows):
        line: list[int] = []
        for column in range(columns):
            if not above:
                middle = line[-1] if line else HALF
            elif not line:
                middle = above[0]
            else:
                up, left, corner = above[column], line[-1], above[column - 1]
                low, high = (up, left) if up < left else (left, up)
                middle = high if corner <= low else low if corner >= high else up + left - corner
            line.append(min(max(middle + next(at) - _REACH, 1), LEVELS))
        table.append(line)
        above = line
    return np.array(table, np.uint8), spread
