"""Which task each task of an archive is coded against, where tasks are alike.

A few tasks stand for themselves, the *references*; others are coded against one of them (codec
``history``), so that reading any task takes at most one other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, UInt8

from maskstore.codecs import Prior
from maskstore.parallel import product_here

BLOCK = 64
"""Tasks that arrived one after another, among which references are looked for."""
_SAMPLE = 1 << 16
_SIZES = 16
_PIECE = 1024
"""Weights whose flips are counted in one product, so that it is small enough to stay on a thread.
"""
_TOLD_ANYWAY = 0.05
"""Bits a weight that a reference tells without telling more than the task's own pull does, about:
the 0.15 of RotatedMNIST's neighbours save 0.03, the 0.10 of the next but one 0.01
(docs/results/coding_ablation.md)."""


def choose_references(
    masks: Sequence[UInt8[np.ndarray, " bytes"]], priors: Sequence[Prior]
) -> list[int | None]:
    """For each task the place of the task that it is coded against; None: it stands for itself.

    Args:
        masks: packed, a few dozen at most.
        priors: what is known of each; only tasks whose scores started alike are compared.
    """
    worth = _shared_bits(masks, priors) - _TOLD_ANYWAY
    references: set[int] = set()
    saved = 0.0
    # One more, one less or another one, as long as that saves bits.
    while True:
        tried = [references ^ change for change in _changes(references, len(masks))]
        best = max(tried, key=lambda each: _saved(worth, each), default=references)
        if _saved(worth, best) <= saved:
            break
        references, saved = best, _saved(worth, best)
    return [
        None if k in references or not references else _reference_of(worth[k], references)
        for k in range(len(masks))
    ]


def _changes(references: set[int], count: int) -> Iterator[set[int]]:
    others = [k for k in range(count) if k not in references]
    yield from ({k} for k in range(count))
    yield from ({old, new} for old in references for new in others)


def _saved(worth: Float64[np.ndarray, "n n"], references: set[int]) -> float:
    if not references:
        return 0.0
    best = worth[:, sorted(references)].max(axis=1)
    best[sorted(references)] = 0.0
    return float(np.maximum(best, 0.0).sum())


def _reference_of(worth: Float64[np.ndarray, " n"], references: set[int]) -> int | None:
    best = max(references, key=lambda each: worth[each])
    return best if worth[best] > 0 else None


def _shared_bits(
    masks: Sequence[UInt8[np.ndarray, " bytes"]], priors: Sequence[Prior]
) -> Float64[np.ndarray, "n n"]:
    """Bits a weight that what training changed in one task tells of another."""
    shared = np.zeros((len(masks), len(masks)))
    for start in {prior.start for prior in priors if prior.start is not None}:
        alike = [k for k, prior in enumerate(priors) if prior.start == start]
        prior = priors[alike[0]]
        drawn = prior.draw(start)
        # Odd, so that it does not fall on the same columns of every row.
        sample = slice(None, None, max(1, len(drawn.mask) // _SAMPLE) | 1)
        flips = [prior.layout.unpack_flat(masks[k])[sample] ^ drawn.mask[sample] for k in alike]
        shared[np.ix_(alike, alike)] = _mutual_information(np.stack(flips), drawn.size[sample])
    return shared


def _mutual_information(
    flips: UInt8[np.ndarray, "n weights"], size: UInt8[np.ndarray, " weights"]
) -> Float64[np.ndarray, "n n"]:
    """Of the flips of every two tasks, given the size of the initial score; bits a weight."""
    total = np.zeros((len(flips), len(flips)))
    for size_bin in range(_SIZES):
        chosen = flips[:, size // (128 // _SIZES) == size_bin].astype(np.float32)
        both = np.zeros(total.shape)
        # Whole numbers: added up in pieces, they are the same.
        for piece in np.array_split(chosen, 1 + chosen.shape[1] // _PIECE, axis=1):
            both += product_here(piece, np.ascontiguousarray(piece.T))
        ones = np.diag(both)
        one, other = ones[:, None], ones[None, :]
        count = chosen.shape[1]
        joint = (both, one - both, other - both, count - one - other + both)
        total += sum(map(_weighted_log, joint))
        total -= sum(map(_weighted_log, (one, count - one, other, count - other)))
        total += _weighted_log(np.full(total.shape, float(count)))
    return total / flips.shape[1]


def _weighted_log(counts: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    return counts * np.log2(np.maximum(counts, 1.0))
