"""Tables of probability levels by context, and their code.

A table has rows and columns along which its probabilities change smoothly, so a level is coded as
its distance from what its neighbours above and to the left predict (the median edge detector of
LOCO-I / JPEG-LS: Weinberger, Seroussi and Sapiro, 1996).
"""

import numpy as np
from jaxtyping import Int64, UInt8

from maskstore.codecs.entropy.coder import SPREADS, Decoder, Encoder, geometric, uniform
from maskstore.codecs.entropy.levels import BITS_OF_ONE, BITS_OF_ZERO, HALF, LEVELS

_REACH = 24
"""Farthest distance from the prediction."""
_SIZES = np.abs(np.arange(-_REACH, _REACH + 1))
_TRIED_SPREADS = (1, 4, 8, 11, 13)


def choose_table(
    ones: Int64[np.ndarray, "row column"], zeros: Int64[np.ndarray, "row column"]
) -> tuple[UInt8[np.ndarray, "row column"], int, float]:
    """The table that makes itself and the bits under it cheapest, near enough.

    Returns:
        (levels, spread of their distances, ideal code length of everything in bits).
    """
    from maskstore.codecs import kernels

    best = None
    for spread in _TRIED_SPREADS:
        weights = (spread / 16) ** _SIZES
        own = -np.log2(weights / weights.sum())
        table, total = kernels.follow(ones, zeros, BITS_OF_ONE, BITS_OF_ZERO, own, HALF)
        if best is None or total < best[2]:
            best = table, spread, float(total)
    assert best is not None
    return best


def put_table(encoder: Encoder, table: UInt8[np.ndarray, "row column"], spread: int) -> None:
    """Append the spread and the distances."""
    from maskstore.codecs import kernels

    encoder.put(uniform(len(SPREADS)), [spread - 1])
    encoder.put(geometric(spread, _REACH), kernels.distances(table, HALF) + _REACH)


def take_table(
    decoder: Decoder, rows: int, columns: int
) -> tuple[UInt8[np.ndarray, "row column"], int]:
    """(levels, spread). Levels beyond the ends, which only a forgery has, become the end levels."""
    from maskstore.codecs import kernels

    spread = decoder.take_one(uniform(len(SPREADS))) + 1
    distances = decoder.take(geometric(spread, _REACH), rows * columns) - _REACH
    return kernels.undo_distances(distances.reshape(rows, columns), HALF, LEVELS), spread
