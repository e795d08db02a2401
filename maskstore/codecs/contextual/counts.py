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
_SCALES = np.array([[0.85], [1.0], [1.15]])
"""… times one of these."""
_ENTRIES = np.arange(-REACH, REACH + 1)


class Counts(NamedTuple):
    """How many weights there are by entry of the pull, and by flip, toward and size."""

    weights: Int64[np.ndarray, "entry kind"]

    def by_row(self, cuts: tuple[int, ...]) -> Int64[np.ndarray, "2 row size"]:
        """By flip, row of the table and size."""
        from maskstore.codecs import kernels

        return kernels.fold_counts(self.weights, np.array(cuts))

    def cuts(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """Good bounds between steps: the sizes of the entries while they are few, else spread.

        Args:
            before: bounds that did well earlier.
        """
        from maskstore.codecs import kernels

        entries = self.weights.sum(axis=1)
        sizes = entries[REACH + 1 :] + entries[:REACH][::-1]
        found = (np.flatnonzero(sizes) + 1).tolist()
        if len(found) < STEPS:
            return (*found, *[CUT_LIMIT] * (STEPS - 1 - len(found)))
        mean = np.sqrt((entries * _ENTRIES**2).sum() / entries.sum())
        scaled = np.clip(np.ceil(_SCALES * _SHARES * mean), 1, CUT_LIMIT).astype(np.int64)
        tried = np.concatenate([np.array([before], np.int64), scaled])
        best = tried[kernels.cheapest_cuts(self.weights, tried, _TABLE_BITS)]
        return tuple(best.tolist())


def chance(counts: Int64[np.ndarray, "2 row size"]) -> Float64[np.ndarray, "row size"]:
    """How often a bit of each context is set, from how many are clear and set."""
    clear, ones = counts
    chance: Float64[np.ndarray, "row size"] = (ones + 0.4) / (clear + ones + 0.8)
    return chance


def by_place(
    of_clear: Float64[np.ndarray, "row size"],
    of_ones: Float64[np.ndarray, "row size"],
    cuts: tuple[int, ...],
) -> Float64[np.ndarray, "entry kind"]:
    """Values of clear and set bits by context as values by place, as kernels look them up."""
    from maskstore.codecs import kernels

    steps = kernels.steps_of(np.array(cuts), REACH)
    values = [
        of_clear[PULLS - 1 - steps],
        of_clear[steps],
        of_ones[PULLS - 1 - steps],
        of_ones[steps],
    ]
    return np.concatenate(values, axis=1)


def bits_of(counts: Int64[np.ndarray, "2 ..."]) -> float:
    """Code length of bits by context (clear ones first), with the table's, about."""
    from maskstore.codecs import kernels

    return float(kernels.context_bits(counts, _TABLE_BITS))
