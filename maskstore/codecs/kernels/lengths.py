"""How long codes are, near enough for a search: whole numbers, and bits by context.

Each is asked for hundreds of times per mask, of arrays so small that NumPy would mostly make calls.
"""

from math import log2
from typing import Any, no_type_check

import numpy as np

from maskstore.codecs.kernels.compiled import compiled

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
