"""Bits by probability level: sorted together, and decoded."""

from typing import Any, no_type_check

import numpy as np

from maskstore.codecs.kernels.compiled import compiled

_LEVELS = 128


@compiled
@no_type_check
def count_levels(levels: Any) -> Any:
    """How many of the levels, uint8 below 128, are 0, 1, …."""
    counts = np.zeros(_LEVELS, np.int64)
    for level in levels:
        counts[level] += 1
    return counts


@compiled
@no_type_check
def sort_bits(levels: Any, bits: Any) -> Any:
    """Bits in the stable order of their levels: a counting sort."""
    places = _starts(count_levels(levels))
    out = np.empty(len(bits), np.uint8)
    for i in range(len(bits)):
        level = levels[i]
        out[places[level]] = bits[i]
        places[level] += 1
    return out


@compiled
@no_type_check
def unsort_bits(levels: Any, in_order: Any) -> Any:
    """The inverse of :func:`sort_bits`."""
    places = _starts(count_levels(levels))
    out = np.empty(len(in_order), np.uint8)
    for i in range(len(out)):
        level = levels[i]
        out[i] = in_order[places[level]]
        places[level] += 1
    return out


@compiled
@no_type_check
def _starts(counts: Any) -> Any:
    places = np.zeros(_LEVELS, np.int64)
    for level in range(1, _LEVELS):
        places[level] = places[level - 1] + counts[level - 1]
    return places


@compiled
@no_type_check
def take_runs(
    words: Any, left: Any, state: Any, levels: Any, counts: Any, octet: Any, clear: Any
) -> Any:
    """Decode runs of bits, each of one level (docs/codecs.md, "The entropy coder").

    Args:
        words: uint32, the code.
        left: how many of its words are not taken yet; they are taken from the end.
        state: uint64, of the coder.
        levels, counts: int64, of each run its level, from 1, and its bits.
        octet, clear: of every level where the intervals end, see ``coder.Intervals``.

    Returns:
        (bits as uint8, words left, state after them).
    """
    total = 0
    for count in counts:
        total += count
    out = np.empty(total, np.uint8)
    first = np.empty(256, np.uint8)
    low_bits, low_mask = np.uint64(24), np.uint64((1 << 24) - 1)
    at = 0
    for run in range(len(levels)):
        table = octet[levels[run] - 1]
        # Where to begin looking for the symbol, by the highest 8 of the 24 bits.
        symbol = 0
        for high in range(256):
            while table[symbol] <= high << 16:
                symbol += 1
            first[high] = symbol
        for _ in range(counts[run] >> 3):
            low = np.uint32(state & low_mask)
            symbol = np.int64(first[low >> np.uint32(16)])
            while table[symbol] <= low:
                symbol += 1
            start = table[symbol - 1] if symbol else np.uint32(0)
            state = (state >> low_bits) * np.uint64(table[symbol] - start) + np.uint64(low - start)
            if state >> np.uint64(32) == 0 and left:
                left -= 1
                state = state << np.uint64(32) | np.uint64(words[left])
            for bit in range(8):
                out[at + bit] = symbol >> bit & 1
            at += 8
        end = clear[levels[run] - 1]
        for _ in range(counts[run] & 7):
            low = np.uint32(state & low_mask)
            if low < end:
                state = (state >> low_bits) * np.uint64(end) + np.uint64(low)
                out[at] = 0
            else:
                rest = np.uint64((1 << 24) - end)
                state = (state >> low_bits) * rest + np.uint64(low - end)
                out[at] = 1
            if state >> np.uint64(32) == 0 and left:
                left -= 1
                state = state << np.uint64(32) | np.uint64(words[left])
            at += 1
    return out, left, state
