"""How long codes are, near enough for a search: whole numbers, and bits by context.

Each is asked for hundreds of times per mask, of arrays so small that NumPy would mostly make calls.
"""

from math import log2
from typing import Any, no_type_check

import numpy as np

from maskstore.codecs.kernels.compiled import compiled
from maskstore.codecs.kernels.search import fold_counts

_SCALES = 16
"""Frequencies are powers of two, 0 … 15 (docs/codecs.md, "Vectors")."""
_UNSEEN = 0.3
"""What a number is counted as beyond how often it occurs, where one more is thought of."""


@compiled
@no_type_check
def context_bits(counts: Any, table_bits: Any) -> Any:
    """Code length of bits by context, and ``table_bits`` of every context that there is.

    Args:
        counts: int64 (2, …), clear ones first.
    """
    clear, ones = counts[0].reshape(-1), counts[1].reshape(-1)
    total = 0.0
    for at in range(len(clear)):
        bits = clear[at] + ones[at]
        if bits:
            p = (ones[at] + 1e-9) / (bits + 2e-9)
            total += table_bits - ones[at] * log2(p) - clear[at] * log2(1 - p)
    return total


@compiled
@no_type_check
def cheapest_cuts(weights: Any, tried: Any, table_bits: Any) -> Any:
    """Which row of ``tried``, bounds between steps of a pull, makes the code shortest.

    Args:
        weights: counts of :func:`maskstore.codecs.kernels.search.count_places`.
        table_bits: see :func:`context_bits`.
    """
    best, chosen = np.inf, 0
    for at in range(len(tried)):
        bits = context_bits(fold_counts(weights, tried[at]), table_bits)
        if bits < best:
            best, chosen = bits, at
    return chosen


@compiled
@no_type_check
def count_numbers(vectors: Any, where: Any, largest: Any) -> Any:
    """How often each number -largest … largest occurs in each vector: int64 (rank, number).

    Args:
        where: bool, the places that count.
    """
    counts = np.zeros((len(vectors), 2 * largest + 1), np.int64)
    for k in range(len(vectors)):
        for at in range(len(where)):
            if where[at]:
                counts[k, vectors[k, at] + largest] += 1
    return counts


@compiled
@no_type_check
def scales(counts: Any) -> Any:
    """Frequencies of one vector as powers of two, the most frequent as 2**15: int64."""
    most = max(1, counts.max())
    out = np.zeros(len(counts), np.int64)
    for at in range(len(counts)):
        if counts[at]:
            out[at] = max(np.int64(np.rint(log2(counts[at] / most))) + _SCALES - 1, 0)
    return out


@compiled
@no_type_check
def plain_bits(counts: Any, limits: Any) -> Any:
    """Code length of vectors with those counts of numbers, their frequencies' included.

    Args:
        limits: of each vector the largest number that it might have.
    """
    largest = counts.shape[1] // 2
    total = 0.0
    for k in range(len(counts)):
        scale = scales(counts[k])
        first, last = largest - limits[k], largest + limits[k] + 1
        mass = 0.0
        for at in range(first, last):
            mass += 2.0 ** scale[at]
        for at in range(first, last):
            total += counts[k, at] * (log2(mass) - scale[at])
        total += log2(largest) + log2(_SCALES) * (last - first)
    return total


@compiled
@no_type_check
def plain_moves(counts: Any, vectors: Any, never: Any) -> Any:
    """By how many bits the code grows if a number goes up by one, and if it goes down by one.

    Args:
        counts: int64 (rank or 1, number); 1 if all vectors share their frequencies.
        never: bits of a number that there is not.

    Returns:
        float64 (2, rank, n).
    """
    numbers = counts.shape[1]
    largest = numbers // 2
    own = np.empty(numbers)
    out = np.empty((2, *vectors.shape))
    for k in range(len(vectors)):
        of_vector = counts[min(k, len(counts) - 1)]
        total = of_vector.sum() + _UNSEEN * numbers
        for at in range(numbers):
            own[at] = -log2((of_vector[at] + _UNSEEN) / total)
        for at in range(vectors.shape[1]):
            here = vectors[k, at] + largest
            out[0, k, at] = own[here + 1] - own[here] if here + 1 < numbers else never
            out[1, k, at] = own[here - 1] - own[here] if here else never
    return out


@compiled
@no_type_check
def neighbours(vector: Any, row: Any, column: Any, width: Any, later: Any) -> Any:
    """The sum of the four diagonal neighbours (pass 0 of those after the first) or of the four
    beside, above and below (pass 1); 0 beyond an edge, and beyond the vector's end."""
    total = np.int64(0)
    for each in range(4):
        if later:  # above, left, right, below
            y = row + each // 3 - (each == 0)
            x = column + (each == 2) - (each == 1)
        else:
            y, x = row - 1 + each // 2 * 2, column - 1 + each % 2 * 2
        if y >= 0 and 0 <= x < width and y * width + x < len(vector):
            total += vector[y * width + x]
    return total


@compiled
@no_type_check
def image_passes(vectors: Any, width: Any, limit: Any) -> Any:
    """What the code of vectors as images depends on, of each pass after the first.

    Args:
        vectors: int16 (rank, n), numbers -limit … limit.
        width: of the images.

    Returns:
        (int64 (2,), by how much four times the numbers miss the sums of their neighbours, in all;
        int64 (2, 8 · limit + 1), how often each sum occurs, from -4 · limit).
    """
    missed = np.zeros(2, np.int64)
    counts = np.zeros((2, 8 * limit + 1), np.int64)
    for k in range(len(vectors)):
        for at in range(vectors.shape[1]):
            row, column = at // width, at % width
            if row & 1 or column & 1:
                later = 0 if row & 1 and column & 1 else 1
                total = neighbours(vectors[k], row, column, width, later)
                missed[later] += abs(4 * np.int64(vectors[k, at]) - total)
                counts[later, total + 4 * limit] += 1
    return missed, counts


@compiled
@no_type_check
def image_moves(vectors: Any, width: Any, units: Any, up: Any, down: Any) -> None:
    """Write into ``up`` and ``down`` what :func:`plain_moves` gives, of all passes but the first.

    Args:
        units: float64 (2,), bits of each that four times a number misses the sum by, by pass.
    """
    for k in range(len(vectors)):
        for at in range(vectors.shape[1]):
            row, column = at // width, at % width
            if row & 1 or column & 1:
                later = 0 if row & 1 and column & 1 else 1
                away = 4 * np.int64(vectors[k, at])
                away -= neighbours(vectors[k], row, column, width, later)
                up[k, at] = units[later] * (abs(away + 4) - abs(away))
                down[k, at] = units[later] * (abs(away - 4) - abs(away))
