"""Vectors of small whole numbers, and their code: each plain, or all as smooth images.

The columns of a first layer are the pixels of an image, and neighbours see the same things. With a
width, a vector is an image in rows of that width, and all vectors are coded together in three
passes: the pixels of even row and even column; those of odd row and odd column, given the sum of
their four diagonal neighbours; then the rest, given the sum of the four beside, above and below.
(Neighbours beyond an edge are 0.)
"""

import math
from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int16, Int64

from maskstore.codecs.entropy.coder import Decoder, Encoder, Model, model_of, uniform

MAX_NUMBER = 7
MAX_WIDTH = 255
_SCALES = 16
_SPREADS = 32
_NEVER = 2.0**20
_DIAGONAL = ((0, 0), (0, 2), (2, 0), (2, 2))
_BESIDE = ((0, 1), (1, 0), (1, 2), (2, 1))

Vectors = Int16[np.ndarray, "rank n"]


def put_vectors(encoder: Encoder, vectors: Vectors, width: int) -> None:
    """Append vectors of numbers from -MAX_NUMBER to MAX_NUMBER; width 0 is plain."""
    if not width:
        for vector in vectors:
            _put_plain(encoder, vector, _limit(vector))
        return
    limit = _limit(vectors)
    first, *_ = _passes(vectors.shape[1], width)
    _put_plain(encoder, vectors[:, first].reshape(-1), limit)
    for (where, sums), (spread, _) in zip(
        _later_passes(vectors, width), _spreads(vectors, width, limit), strict=True
    ):
        numbers = vectors[:, where].reshape(-1)
        encoder.put(uniform(_SPREADS), [spread])
        order, counts = _grouped(sums)
        at = 0
        for total, count in counts:
            chosen = numbers[order[at : at + count]]
            encoder.put(_near(total, spread, limit), chosen.astype(np.int32) + limit)
            at += count


def take_vectors(decoder: Decoder, rank: int, length: int, width: int) -> Vectors:
    """The inverse of :func:`put_vectors`."""
    vectors = np.zeros((rank, length), np.int16)
    if not width:
        for vector in vectors:
            vector[:], _ = _take_plain(decoder, length)
        return vectors
    first, *_ = _passes(length, width)
    numbers, limit = _take_plain(decoder, rank * int(np.count_nonzero(first)))
    vectors[:, first] = numbers.reshape(rank, -1)
    for where, sums in _later_passes(vectors, width):
        spread = decoder.take_one(uniform(_SPREADS))
        order, counts = _grouped(sums)
        pieces = [decoder.take(_near(total, spread, limit), count) for total, count in counts]
        if pieces:
            numbers = np.empty(len(sums), np.int16)
            numbers[order] = np.concatenate(pieces) - limit
            vectors[:, where] = numbers.reshape(rank, -1)
    return vectors


def ideal_bits(vectors: Vectors, width: int) -> float:
    """Code length of vectors."""
    from maskstore.codecs import kernels

    first, *_ = _passes(vectors.shape[1], width)
    counts = kernels.count_numbers(vectors, first, MAX_NUMBER)
    if not width:
        limits = np.maximum(np.abs(vectors).max(axis=1), 1)
        return float(kernels.plain_bits(counts, limits))
    limit = _limit(vectors)
    bits = float(kernels.plain_bits(counts.sum(axis=0)[None], np.array([limit], np.int16)))
    return bits + sum(cost + math.log2(_SPREADS) for _, cost in _spreads(vectors, width, limit))


def costs_of_moves(
    vectors: Vectors, width: int
) -> tuple[Float64[np.ndarray, "rank n"], Float64[np.ndarray, "rank n"]]:
    """By how many bits the code grows if a number goes up by one, and if it goes down by one.

    All others stay as they are, and so do the models. 2**20 bits for numbers that there are not.
    """
    from maskstore.codecs import kernels

    first, *_ = _passes(vectors.shape[1], width)
    counts = kernels.count_numbers(vectors, first, MAX_NUMBER)
    if width:
        counts = counts.sum(axis=0)[None]
    up, down = kernels.plain_moves(counts, vectors, _NEVER)
    if width:
        found = _spreads(vectors, width, _limit(vectors))
        units = _near_bits(MAX_NUMBER)[0][[spread for spread, _ in found]]
        kernels.image_moves(vectors, width, units, up, down)
        up[vectors == MAX_NUMBER] = down[vectors == -MAX_NUMBER] = _NEVER
    return up, down


def widths_of(length: int) -> list[int]:
    """Widths that are worth trying: plain, a square image, a square image of three colours."""
    widths = [0]
    for planes in (1, 3):
        width = math.isqrt(length // planes)
        if 4 <= width <= MAX_WIDTH and planes * width * width == length:
            widths.append(width)
    return widths


# ---------------------------------------------------------------- plain


def _limit(numbers: Int16[np.ndarray, "..."]) -> int:
    return max(1, int(np.abs(numbers).max()))


def _put_plain(encoder: Encoder, numbers: Int16[np.ndarray, " n"], limit: int) -> None:
    from maskstore.codecs import kernels

    counts = np.bincount(numbers.astype(np.int64) + limit, minlength=2 * limit + 1)
    scale = kernels.scales(counts).tolist()
    encoder.put(uniform(MAX_NUMBER), [limit - 1])
    encoder.put(uniform(_SCALES), scale)
    encoder.put(_by_scale(tuple(scale)), numbers.astype(np.int32) + limit)


def _take_plain(decoder: Decoder, length: int) -> tuple[Int16[np.ndarray, " n"], int]:
    limit = decoder.take_one(uniform(MAX_NUMBER)) + 1
    scale = decoder.take(uniform(_SCALES), 2 * limit + 1).tolist()
    numbers = decoder.take(_by_scale(tuple(scale)), length) - limit
    return numbers.astype(np.int16), limit


def _by_scale(scale: tuple[int, ...]) -> Model:
    return model_of([1 << each for each in scale])


# ---------------------------------------------------------------- images


@lru_cache(maxsize=64)
def _passes(length: int, width: int) -> tuple[Bool[np.ndarray, " n"], ...]:
    """The places of each pass."""
    if not width:
        return (np.ones(length, np.bool_),)
    row, column = np.divmod(np.arange(length), width)
    even_row, even_column = row % 2 == 0, column % 2 == 0
    return even_row & even_column, ~even_row & ~even_column, even_row ^ even_column


def _later_passes(
    vectors: Vectors, width: int
) -> Iterator[tuple[Bool[np.ndarray, " n"], Int64[np.ndarray, " numbers"]]]:
    """Places of each pass after the first, and the sums of neighbours, vector after vector.

    The sums of a pass are taken when it is asked for, from what ``vectors`` then holds.
    """
    if not width:
        return
    rank, length = vectors.shape
    height = -(-length // width)
    for where, steps in zip(_passes(length, width)[1:], (_DIAGONAL, _BESIDE), strict=True):
        framed = np.zeros((rank, height + 2, width + 2), np.int64)
        framed[:, 1:-1, 1:-1] = _in_rows(vectors, height, width)
        sums = sum(framed[:, y : y + height, x : x + width] for y, x in steps)
        yield where, np.asarray(sums).reshape(rank, -1)[:, :length][:, where].reshape(-1)


def _in_rows(vectors: Vectors, height: int, width: int) -> Int16[np.ndarray, "rank y x"]:
    """Each vector as rows of an image; what the last row lacks is 0."""
    rank, length = vectors.shape
    if length < height * width:
        vectors = np.pad(vectors, ((0, 0), (0, height * width - length)))
    return vectors.reshape(rank, height, width)


def _grouped(
    sums: Int64[np.ndarray, " numbers"],
) -> tuple[Int64[np.ndarray, " numbers"], list[tuple[int, int]]]:
    """The stable order by sum, and how often each sum occurs."""
    found, counts = np.unique(sums, return_counts=True)
    return np.argsort(sums, kind="stable"), list(zip(found.tolist(), counts.tolist(), strict=True))


@cache
def _near(total: int, spread: int, limit: int) -> Model:
    """Numbers -limit … limit, falling off from a quarter of ``total``."""
    distances = [abs(4 * number - total) for number in range(-limit, limit + 1)]
    return model_of([1 + (((spread + 1) ** d << 64) >> 5 * d) for d in distances])


@cache
def _near_bits(
    limit: int,
) -> tuple[Float64[np.ndarray, " spread"], Float64[np.ndarray, "spread sums"]]:
    """Ideal code lengths under :func:`_near`, by spread: a unit of distance, and what is added."""
    shares = (np.arange(_SPREADS) + 1) / _SPREADS
    sums = np.arange(-4 * limit, 4 * limit + 1)
    distances = np.abs(4 * np.arange(-limit, limit + 1)[:, None] - sums)
    return -np.log2(shares), np.log2((shares[:, None, None] ** distances).sum(axis=1))


def _spreads(vectors: Vectors, width: int, limit: int) -> list[tuple[int, float]]:
    """Of each pass after the first the cheapest spread, and the code length under it."""
    from maskstore.codecs import kernels

    unit, at_zero = _near_bits(limit)
    found = []
    for missed, counts in zip(*kernels.image_passes(vectors, width, limit), strict=True):
        costs = unit * missed + at_zero @ counts
        best = int(costs.argmin())
        found.append((best, float(costs[best])))
    return found
