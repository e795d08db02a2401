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
_BIAS = 1 << 14
"""More than any cost, in the units of the caller."""
_BLOCK = 16
"""Columns that are laid out as rows at a time."""


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
def steps_of(cuts: Any, reach: Any) -> Any:
    """Of each entry -reach … reach the row of the table, for a score that grows with the pull."""
    out = np.empty(2 * reach + 1, np.int64)
    step, steps = 0, len(cuts) + 1
    for size in range(reach + 1):
        while step < len(cuts) and cuts[step] <= size:
            step += 1
        out[reach - size] = steps - 1 - step
        out[reach + size] = steps + step
    return out


@compiled
@no_type_check
def fold_counts(counts: Any, cuts: Any) -> Any:
    """Counts by entry and kind as int64 (flip, row of the table, size).

    Args:
        counts: of :func:`count_places`; a kind is 2 · flip + toward, times sizes, plus size.
        cuts: where the steps of the pull's size begin, but for the first.
    """
    reach, sizes = counts.shape[0] // 2, counts.shape[1] // 4
    rows = 2 * (len(cuts) + 1)
    steps = steps_of(cuts, reach)
    out = np.zeros((2, rows, sizes), np.int64)
    for entry in range(counts.shape[0]):
        along = steps[entry]
        for flip in range(2):
            for toward in range(2):
                line = out[flip, along if toward else rows - 1 - along]
                first = (2 * flip + toward) * sizes
                for size in range(sizes):
                    line[size] += counts[entry, first + size]
    return out


@compiled
@no_type_check
def look_up(places: Any, values: Any, out: Any, shift: Any) -> None:
    """The value of every place, of entry (rows; the outermost stand for all beyond) and kind."""
    reach = values.shape[0] // 2
    mask = (1 << shift) - 1
    for row in range(places.shape[0]):
        for column in range(places.shape[1]):
            place = places[row, column]
            entry = min(max((place >> shift) - MIDDLE, -reach), reach)
            out[row, column] = values[entry + reach, place & mask]


@compiled
@no_type_check
def cost_of_steps(cost: Any, shift: Any, bound: Any, largest: Any) -> Any:
    """What the code of a weight grows by, if the pull's entry there goes up or down by 1, 2, ….

    Args:
        cost: int32 (entry, kind), the outermost entries stand for all beyond; below ``_BIAS``.
        bound: entries are -bound … bound.
        largest: the largest step.

    Returns:
        uint32 (step, place of an entry above -bound): the growth of a step up in the high half, of
        one down in the low half, each plus ``_BIAS``. So one addition adds both, but for what the
        low halves carry over.
    """
    entries, kinds = cost.shape
    reach = entries // 2
    out = np.empty((largest, (2 * bound + 1) << shift), np.uint32)
    for step in range(1, largest + 1):
        for entry in range(-bound, bound + 1):
            here = cost[min(max(entry, -reach), reach) + reach]
            above = cost[min(max(entry + step, -reach), reach) + reach]
            below = cost[min(max(entry - step, -reach), reach) + reach]
            first = (entry + bound) << shift
            for kind in range(kinds):
                up = np.uint32(above[kind] - here[kind] + _BIAS)
                down = np.uint32(below[kind] - here[kind] + _BIAS)
                out[step - 1, first + kind] = up << np.uint32(16) | down
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
    where, ends = _by_step(others, len(steps))
    for row in range(places.shape[0]):
        _sweep_line(
            places[row],
            row,
            numbers,
            others,
            up,
            down,
            margins,
            shift,
            steps,
            hopeless,
            where,
            ends,
        )


@compiled
@no_type_check
def sweep_columns(
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
    """:func:`sweep_rows` for the numbers (rank, n) of the columns; ``others`` are of the rows."""
    where, ends = _by_step(others, len(steps))
    m, n = places.shape
    lines = np.empty((_BLOCK, m), places.dtype)
    for first in range(0, n, _BLOCK):
        used = min(_BLOCK, n - first)
        for row in range(m):
            for column in range(used):
                lines[column, row] = places[row, first + column]
        moved = False
        for column in range(used):
            moved |= _sweep_line(
                lines[column],
                first + column,
                numbers,
                others,
                up,
                down,
                margins,
                shift,
                steps,
                hopeless,
                where,
                ends,
            )
        if moved:
            for row in range(m):
                for column in range(used):
                    places[row, first + column] = lines[column, row]


@compiled
@no_type_check
def _by_step(others: Any, largest: Any) -> Any:
    """Of each product where it is 1, -1, 2, -2, … (nothing for 0), and where each of these ends."""
    rank, n = others.shape
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
    return where, ends


@compiled
@no_type_check
def _sweep_line(
    line: Any,
    at: Any,
    numbers: Any,
    others: Any,
    up: Any,
    down: Any,
    margins: Any,
    shift: Any,
    steps: Any,
    hopeless: Any,
    where: Any,
    ends: Any,
) -> Any:
    """Move the numbers of one line, whose places these are; whether any moved."""
    largest = len(steps)
    bound = (steps.shape[1] >> shift) // 2
    offset = (MIDDLE - bound) << shift
    low = np.uint64((1 << 16) - 1)
    moved = False
    for k in range(len(numbers)):
        used = ends[k, 2 * largest]
        if margins[k, at] > hopeless:
            margins[k, at] >>= 1
            continue
        more, less = up[k, at], down[k, at]
        for group in range(2 * largest):
            first, last = ends[k, group], ends[k, group + 1]
            if first == used:
                break
            step = steps[group // 2]
            total, lows = np.uint64(0), np.uint64(0)
            for each in range(first, last):
                both = np.uint64(step[np.uint32(line[where[k, each]] - offset)])
                total += both
                lows += both & low
            bias = (last - first) * _BIAS
            rise, fall = np.int64((total - lows) >> np.uint64(16)) - bias, np.int64(lows) - bias
            if group & 1:
                rise, fall = fall, rise
            more += rise
            less += fall
        margins[k, at] = min(more, less)
        if min(more, less) >= 0:
            continue
        by = 1 if more <= less else -1
        numbers[k, at] += by
        moved = True
        for each in range(used):
            place = where[k, each]
            line[place] += (by * others[k, place]) << shift
    return moved
