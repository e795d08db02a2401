"""How small the codecs get, against the entropies that bound them."""

import numpy as np
import pytest

from maskstore import MaskLayout
from maskstore.codecs import BY_NAME, PRESETS, encode
from maskstore.codecs.entropy.levels import LEVELS, NUMERATORS, level_of
from maskstore.seeded.scores import ScoreStart
from maskstore.stats import binary_entropy
from tests.maskstore.codecs.helpers import almost, packed_mask, prior_of, trained_masks

SQUARE = MaskLayout({"w": (1000, 1000)})


@pytest.mark.parametrize("density", [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.9, 0.99])
def test_ans_reaches_the_entropy(density):
    packed = packed_mask(SQUARE, density)
    ones = int(np.unpackbits(packed).sum())
    bound = SQUARE.bits * binary_entropy(ones / SQUARE.bits) / 8
    # Below the bound it cannot be but for the few bytes that choosing a level saves: it is none.
    assert bound - 1 < len(BY_NAME["ans"].encode(packed, prior_of(SQUARE))) <= 1.005 * bound + 8


@pytest.mark.parametrize("density", [0.1, 0.05, 0.01, 0.95])
def test_gaps_come_within_two_percent(density):
    packed = packed_mask(SQUARE, density)
    bound = SQUARE.bits * binary_entropy(density) / 8
    assert len(BY_NAME["gaps"].encode(packed, prior_of(SQUARE))) <= 1.02 * bound


def test_levels_are_close_to_any_probability():
    assert len(NUMERATORS) == LEVELS + 1
    assert list(NUMERATORS) == sorted(set(NUMERATORS))
    assert all(a + b == 1 << 20 for a, b in zip(NUMERATORS[1:], NUMERATORS[:0:-1], strict=True))
    for p in np.concatenate([np.linspace(0.001, 0.999, 777), [1e-4, 0.0005]]):
        q = NUMERATORS[level_of(int(p * 1e9), 10**9)] / 2**20
        cost = -p * np.log2(q) - (1 - p) * np.log2(1 - q)
        assert cost <= 1.0015 * binary_entropy(p)


def test_seeded_finds_the_pull():
    layout = MaskLayout({"fc.weight": (200, 300)})
    sizes = []
    for rank in (0, 1, 4):
        masks = trained_masks(layout, rank=max(rank, 1))
        if rank == 0:  # the same flips, but in places that no outer product explains
            rng = np.random.default_rng(0)
            start = prior_of(layout).draw(ScoreStart(seed=5)).mask.reshape(200, 300).astype(bool)
            flips = masks["fc.weight"] ^ start
            masks = {"fc.weight": rng.permuted(flips) ^ start}
        stored = BY_NAME["seeded"].encode(layout.pack(masks), prior_of(layout))
        sizes.append(8 * len(stored) / layout.bits)
    without, one, four = sizes
    assert one < 0.8 * without
    assert four < 0.95 * without


def test_seeded_codes_the_bits_of_a_topk_mask():
    layout = MaskLayout({"fc.weight": (200, 300)})
    scores = ScoreStart(seed=5).draw(layout)["fc.weight"]
    moved = np.abs(scores + 0.02 * np.random.default_rng(0).standard_normal(scores.shape))
    mask = moved >= np.sort(moved, axis=None)[-3000]
    packed = layout.pack({"fc.weight": mask})
    stored = BY_NAME["seeded"].encode(packed, prior_of(layout))
    assert len(stored) < 0.85 * len(BY_NAME["ans"].encode(packed, prior_of(layout)))


def test_history_pays_where_tasks_are_alike():
    layout = MaskLayout({"fc.weight": (200, 300)})
    packed = layout.pack(trained_masks(layout))
    seeded = len(BY_NAME["seeded"].encode(packed, prior_of(layout)))
    alike = prior_of(layout, reference=almost(packed, layout, 0.01))
    assert len(BY_NAME["history"].encode(packed, alike)) < 0.3 * seeded
    # Noise as a reference costs its name and what the wider tables cost.
    assert seeded < len(BY_NAME["history"].encode(packed, prior_of(layout))) < 1.06 * seeded
    codec, _ = encode(packed, prior_of(layout), PRESETS["history"])
    assert codec.name == "seeded"


def test_a_start_of_its_own_costs_its_name():
    layout = MaskLayout({"fc.weight": (200, 300)})
    own = ScoreStart(seed=7, stream="scores/split-mnist/3")
    packed = layout.pack(trained_masks(layout, start=own))
    prior = prior_of(layout, own)
    stored = BY_NAME["seeded"].encode(packed, prior)
    assert stored[:2] == b"\x03\x07"
    assert stored[3:23] == b"scores/split-mnist/3"
    assert len(stored) < 0.9 * layout.packed_bytes
    assert np.array_equal(BY_NAME["seeded"].decode(stored, prior_of(layout, None)), packed)
