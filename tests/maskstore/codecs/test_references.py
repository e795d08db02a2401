"""Which tasks are references, against all choices there are; shared bits against counting."""

from itertools import combinations

import numpy as np
import pytest

from maskstore import MaskLayout
from maskstore.codecs.references import _mutual_information, _saved, choose_references
from maskstore.seeded.scores import ScoreStart
from tests.maskstore.codecs.helpers import almost, prior_of, trained_masks

LAYOUT = MaskLayout({"fc.weight": (40, 60)})


def chain(count: int) -> list[np.ndarray]:
    """Masks of which each differs a little from the one before."""
    masks = [LAYOUT.pack(trained_masks(LAYOUT))]
    for seed in range(count - 1):
        masks.append(almost(masks[-1], LAYOUT, 0.12, seed))
    return masks


def test_neighbours_are_coded_against_the_task_between_them():
    masks = chain(6)
    chosen = choose_references(masks, [prior_of(LAYOUT)] * 6)
    assert chosen == [1, None, 1, 4, None, 4]


def test_tasks_that_share_nothing_stand_for_themselves():
    masks = [LAYOUT.pack(trained_masks(LAYOUT, seed)) for seed in range(5)]
    assert choose_references(masks, [prior_of(LAYOUT)] * 5) == [None] * 5
    assert choose_references([], []) == []
    alike = [masks[0]] * 3
    no_start = [prior_of(LAYOUT, None)] * 3
    assert choose_references(alike, no_start) == [None] * 3
    other_starts = [prior_of(LAYOUT, ScoreStart(seed=k)) for k in range(3)]
    assert choose_references(alike, other_starts) == [None] * 3
    both = [prior_of(LAYOUT), prior_of(LAYOUT, ScoreStart(seed=1)), prior_of(LAYOUT)]
    assert choose_references(alike, both) in ([None, None, 0], [2, None, None])


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_is_nearly_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    masks = chain(9)
    for k in rng.choice(9, 3, replace=False):
        masks[k] = almost(masks[k], LAYOUT, 0.1, seed)
    priors = [prior_of(LAYOUT)] * 9
    from maskstore.codecs.references import _TOLD_ANYWAY, _shared_bits

    worth = _shared_bits(masks, priors) - _TOLD_ANYWAY
    best = max(
        _saved(worth, set(tried)) for size in range(10) for tried in combinations(range(9), size)
    )
    found = choose_references(masks, priors)
    saved = sum(worth[k, at] for k, at in enumerate(found) if at is not None)
    assert saved >= 0.97 * best > 0
    assert all(found[at] is None for at in found if at is not None)


@pytest.mark.parametrize("largest", [128, 40])  # of 40 no weight is in most bins
def test_shared_bits_are_the_mutual_information(largest):
    rng = np.random.default_rng(0)
    flips = rng.integers(0, 2, (3, 2000)).astype(np.uint8)
    flips[1, ::3] = flips[0, ::3]
    size = rng.integers(0, largest, 2000).astype(np.uint8)
    found = _mutual_information(flips, size)
    for a in range(3):
        for b in range(3):
            expected = 0.0
            for bin_ in range(16):
                here = size // 8 == bin_
                for x in (0, 1):
                    for y in (0, 1):
                        joint = np.mean((flips[a] == x) & (flips[b] == y) & here)
                        if joint:
                            px = np.mean((flips[a] == x) & here)
                            py = np.mean((flips[b] == y) & here)
                            expected += joint * np.log2(joint * np.mean(here) / (px * py))
            assert found[a, b] == pytest.approx(expected, abs=1e-9)
    assert found[0, 1] > 0.05 > found[0, 2]
