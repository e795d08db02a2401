import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskstore import MaskLayout
from maskstore.codecs import BY_NAME, CODECS, PRESETS, encode, parse_codec
from maskstore.codecs.contextual.layer_model import LayerContexts, LayerModel
from maskstore.errors import InvalidInput
from tests.maskstore.codecs.helpers import LAYOUTS, START, packed_mask, prior_of, trained_masks


@pytest.mark.parametrize("density", [0.0, 0.002, 0.1, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("codec", CODECS, ids=BY_NAME)
def test_every_mask_comes_back(codec, layout, density):
    prior = prior_of(layout)
    packed = packed_mask(layout, density)
    stored = codec.encode(packed, prior)
    if stored is None:
        assert codec.name == "gaps"
        assert 0.1 < density < 0.9
        return
    # The start of the task is no part of what a decoder is given.
    back = codec.decode(stored, prior_of(layout, start=None))
    assert back.dtype == np.uint8
    assert np.array_equal(back, packed)


@given(
    shapes=st.lists(
        st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
    ),
    density=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_every_layout_comes_back(shapes, density, seed):
    layout = MaskLayout({f"layer{i}.weight": shape for i, shape in enumerate(shapes)})
    packed = packed_mask(layout, density, seed)
    for codec in CODECS:
        stored = codec.encode(packed, prior_of(layout))
        if stored is not None:
            assert np.array_equal(codec.decode(stored, prior_of(layout, None)), packed), codec


def test_trained_masks_come_back_from_every_codec():
    layout = LAYOUTS["lenet"]
    packed = layout.pack(trained_masks(layout))
    for name in ("raw", "zstd", "ans", "seeded"):
        stored = BY_NAME[name].encode(packed, prior_of(layout))
        assert np.array_equal(BY_NAME[name].decode(stored, prior_of(layout, None)), packed)


def test_flips_that_follow_the_weights_signs_where_no_pull_fits():
    layout = MaskLayout({"w": (2, 3000)})  # too thin for a pull: its numbers would be too many
    prior, rng = prior_of(layout), np.random.default_rng(0)
    start = prior.draw(START)
    known = LayerContexts(shape=(2, 3000), size=start.size, toward=start.toward, earlier=None)
    flips = (rng.random(layout.bits) < np.where(start.toward, 0.4, 0.05)).astype(np.uint8)
    model = LayerModel.choose(flips, known)
    assert model.oriented
    assert (model.pull, known.max_rank) == (None, 0)
    packed = layout.pack_flat(start.mask ^ flips)
    stored = BY_NAME["seeded"].encode(packed, prior)
    assert np.array_equal(BY_NAME["seeded"].decode(stored, prior_of(layout, None)), packed)
    assert len(stored) < 0.8 * layout.packed_bytes


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("density", [0.5, 0.45])
def test_auto_is_never_larger_than_raw(layout, density):
    for seed in range(5):
        packed = packed_mask(layout, density, seed)
        codec, stored = encode(packed, prior_of(layout), PRESETS["auto"])
        assert len(stored) <= layout.packed_bytes
        assert np.array_equal(codec.decode(stored, prior_of(layout, None)), packed)


def test_auto_takes_the_smallest():
    layout = LAYOUTS["lenet"]
    prior = prior_of(layout)
    packed = layout.pack(trained_masks(layout))
    sizes = {c.name: len(s) for c in CODECS if (s := c.encode(packed, prior)) is not None}
    codec, stored = encode(packed, prior, PRESETS["auto"])
    assert codec.name == "seeded"
    assert len(stored) == min(sizes.values()) < 0.8 * sizes["raw"]


def test_a_mask_that_did_not_come_from_the_seed_falls_back_silently():
    layout = LAYOUTS["lenet"]
    packed = packed_mask(layout, 0.5)
    for start in ({}, {"scores": None}, {"scores": {"seed": -1}}, {"scores": [1]}):
        prior = prior_of(layout, None).of_task(start)
        assert BY_NAME["seeded"].encode(packed, prior) is None
        assert encode(packed, prior, parse_codec("seeded"))[0].name == "raw"
    # Nor does a start help that the mask has nothing to do with.
    assert encode(packed, prior_of(layout), PRESETS["auto"])[0].name == "raw"


def test_fast_does_without_the_entropy_coder():
    assert {codec.name for codec in parse_codec("fast")} == {"raw", "zstd", "gaps"}
    layout = LAYOUTS["lenet"]
    packed = packed_mask(layout, 0.02)
    codec, stored = encode(packed, prior_of(layout), PRESETS["fast"])
    assert codec.name == "gaps"
    assert len(stored) < len(BY_NAME["zstd"].encode(packed, prior_of(layout)))


def test_codec_names():
    assert parse_codec("ans") == (BY_NAME["ans"],)
    assert [codec.id for codec in CODECS] == list(range(len(CODECS)))
    with pytest.raises(InvalidInput, match="codec 'lzma' is unknown; choose one of: auto, fast"):
        parse_codec("lzma")
