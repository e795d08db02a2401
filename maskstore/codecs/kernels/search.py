"""The search for a pull: what every number of it would save by moving.

A weight's *place* says all that its code depends on: its *kind* (whether it flipped, its size,
whether a pull works towards a flip), and the entry of the pull there. It is the entry plus
``MIDDLE``, shifted to make room for the kind; entries are small, so what is looked up is close by.
"""

from typing import Any, no_type_check

import numpy as np

from maskstore.codecs.kernels.compiled import compiled

MIDDLE = 2048
"""More than any entry: 31 products of numbers up to 7."""
SPAN = 2 * MIDDLE
_BIAS = 1 << 14
"""More than any cost, in the units of the caller."""
_TOGETHER = 1 << 16
"""Costs that are added before halves of 32 bits might overflow."""


@compiled
@no_type_check
def add_product(places: Any, left: Any, right: Any, shift: Any) -> None:
    """Add the outer product of two vectors of whole numbers to the entries of a pull."""
    for row in range(places.shape[0]):
        factor = np.int32(left[row]) << shift
        if factor:
            for column in range(places.shape[1]):
                places[row, column] += factor * right[column]


@compiled
@no_type_check
def count_places(places: Any, counts: Any, shift: Any) -> None:
    """Count weights by kind (columns) and entry (rows; the outermost take all beyond)."""
    reach = counts.shape[0] // 2
    mask = (1 << shift) - 1
    for row in range(places.shape[0]):
        for place in places[row]:
            entry = min(max((place >> shift) - MIDDLE, -reach), reach)
            counts[entry + reach, place & mask] += 1


@compiled
@no_type_check
def look_up(places: Any, values: Any, out: Any) -> None:
    """The value of every place."""
    for row in range(places.shape[0]):
        for column in range(places.shape[1]):
            out[row, column] = values[places[row, column]]


@compiled
@no_type_check
def cost_of_steps(cost: Any, shift: Any, bound: Any, largest: Any) -> Any:
    """What the code of a weight grows by, if the pull's entry there goes up or down by 1, 2, ….

    Args:
        cost: int32 (entry, kind), the outermost entries stand for all beyond; below ``_BIAS``.
        bound: entries are -bound … bound.
        largest: the largest step.

    Returns:
        uint64 (step, place of an entry above -bound): the growth of a step up in the high half, of
        one down in the low half, each plus ``_BIAS``. So one addition adds both.
    """
    entries, kinds = cost.shape
    reach = entries // 2
    out = np.empty((largest, (2 * bound + 1) << shift), np.uint64)
    for step in range(1, largest + 1):
        for entry in range(-bound, bound + 1):
            here = min(max(entry, -reach), reach) + reach
            above = min(max(entry + step, -reach), reach) + reach
            below = min(max(entry - step, -reach), reach) + reach
            for kind in range(kinds):
                up = np.uint64(cost[above, kind] - cost[here, kind] + _BIAS)
                down = np.uint64(cost[below, kind] - cost[here, kind] + _BIAS)
                place = ((entry + bound) << shift) + kind
                out[step - 1, place] = up << np.uint64(32) | down
    return out


@compiled
@no_type_check
def sweep_rows(
    places: Any,
    numbers: Any,
    others: Any,
    up: Any,
    down: Any,
    margins: Any,
    shift: Any,
    steps: Any,
    hopeless: Any,
) -> None:
    """Move every number of the rows by one where that shortens the code.

    Args:
        places: int32 (m, n); follows the numbers.
        numbers: int16 (rank, m), changed in place.
        others: int16 (rank, n).
        up, down: int64 (rank, m), by how much a number's own code grows if it moves.
        margins: int64 (rank, m), by how much the whole code grew if a number moved, when that was
            last looked at. Above ``hopeless`` it is halved, and the number stays.
        steps: of :func:`cost_of_steps`, for all steps in ``others``.
    """
    rank, n = others.shape
    largest = len(steps)
    bound = (steps.shape[1] >> shift) // 2
    offset = (MIDDLE - bound) << shift
    # The columns where a product is 1, -1, 2, -2, …: one group after another, nothing for 0.
    where = np.empty((rank, n), np.uint32)
    ends = np.zeros((rank, 2 * largest + 1), np.int64)
    for k in range(rank):
        used = 0
        for group in range(2 * largest):
            value = (1 - 2 * (group & 1)) * (group // 2 + 1)
            for column in range(n):
                if others[k, column] == value:
                    where[k, used] = column
                    used += 1
            ends[k, group + 1] = used
    low = np.uint64((1 << 32) - 1)
    for row in range(places.shape[0]):
        line = places[row]
        for k in range(rank):
            if margins[k, row] > hopeless:
                margins[k, row] >>= 1
                continue
            more, less = up[k, row], down[k, row]
            for group in range(2 * largest):
                step = steps[group // 2]
                for first in range(ends[k, group], ends[k, group + 1], _TOGETHER):
                    last = min(first + _TOGETHER, ends[k, group + 1])
                    total = np.uint64(0)
                    for at in range(first, last):
                        total += step[np.uint32(line[where[k, at]] - offset)]
                    bias = (last - first) * _BIAS
                    rise, fall = np.int64(total >> np.uint64(32)), np.int64(total & low)
                    if group & 1:
                        rise, fall = fall, rise
                    more += rise - bias
                    less += fall - bias
            margins[k, row] = min(more, less)
            if min(more, less) >= 0:
                continue
            by = 1 if more <= less else -1
            numbers[k, row] += by
            for at in range(ends[k, 2 * largest]):
                column = where[k, at]
                line[column] += (by * others[k, column]) << shift
