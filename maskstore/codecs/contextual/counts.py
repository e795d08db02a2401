"""Weights counted by all that their code depends on, while a pull is searched for."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from maskstore.codecs.contextual.low_rank import PULLS, STEPS

REACH = 127
"""Largest size of a pull's entry that the decoder tells from larger ones."""
CUT_LIMIT = 128
_TABLE_BITS = 3.0
"""What a context's level costs, roughly."""
_SHARES = np.array([0.15, 0.45, 0.75, 1.1, 1.5, 2.0, 2.7])
"""Bounds between the steps of a pull over its root mean square …"""
_SCALES = (0.85, 1.0, 1.15)
"""… times one of these."""
_ENTRIES = np.arange(-REACH, REACH + 1)


class Counts(NamedTuple):
    """How many weights there are by flip, toward, size and entry of the pull."""

    weights: Float64[np.ndarray, "2 2 size entry"]

    def by_row(self, cuts: tuple[int, ...]) -> Float64[np.ndarray, "2 size row"]:
        """By flip, size and row of the table."""
        along = np.eye(PULLS)[_steps_of(cuts)]
        found: Float64[np.ndarray, "2 size row"]
        found = self.weights[:, 1] @ along + self.weights[:, 0] @ along[:, ::-1]
        return found

    def cuts(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """Good bounds between steps: the sizes of the entries while they are few, else spread.

        Args:
            before: bounds that did well earlier.
        """
        entries = self.weights.sum(axis=(0, 1, 2))
        sizes = entries[REACH + 1 :] + entries[:REACH][::-1]
        found = (np.flatnonzero(sizes) + 1).tolist()
        if len(found) < STEPS:
            return (*found, *[CUT_LIMIT] * (STEPS - 1 - len(found)))
        mean = np.sqrt((entries * _ENTRIES**2).sum() / entries.sum())
        tried = [before]
        for scale in _SCALES:
            cuts = np.clip(np.ceil(scale * _SHARES * mean), 1, CUT_LIMIT)
            tried.append(tuple(cuts.astype(int).tolist()))
        return min(tried, key=lambda cuts: bits_of(self.by_row(cuts)))


def _steps_of(cuts: tuple[int, ...]) -> Int64[np.ndarray, " entry"]:
    """The row of the table of every entry, for a weight whose score grows with the pull."""
    steps = np.searchsorted(np.array(cuts), np.abs(_ENTRIES), side="right")
    return np.where(_ENTRIES >= 0, STEPS + steps, STEPS - 1 - steps)


def chance(counts: Float64[np.ndarray, "2 size row"]) -> Float64[np.ndarray, "size row"]:
    """How often a bit of each context is set, from how many are clear and set."""
    clear, ones = counts
    chance: Float64[np.ndarray, "size row"] = (ones + 0.4) / (clear + ones + 0.8)
    return chance


def by_entry(
    values: Float64[np.ndarray, "size row"], cuts: tuple[int, ...]
) -> Float64[np.ndarray, "1 2 size entry"]:
    """Values by context as values by toward, size and entry."""
    steps = _steps_of(cuts)
    return np.stack([values[:, PULLS - 1 - steps], values[:, steps]])[None]


def bits_of(counts: np.ndarray) -> float:
    """Code length of bits by context (clear ones first), with the table's, about."""
    clear, ones = counts.reshape(2, -1).astype(np.float64)
    bits = clear + ones
    seen = bits > 0
    bits, ones = bits[seen], ones[seen]
    p = (ones + 1e-9) / (bits + 2e-9)
    ideal = -(ones * np.log2(p) + (bits - ones) * np.log2(1 - p)).sum()
    return float(ideal) + _TABLE_BITS * len(bits)
