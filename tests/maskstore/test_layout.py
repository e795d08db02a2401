import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskstore import InvalidInput, InvalidMask, MaskLayout
from maskstore.layout import count_ones, sha256_of_bits
from tests.maskstore.helpers import LAYOUT, random_masks

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
layers = st.lists(shapes, min_size=1, max_size=4)


def layout_of(shapes):
    return MaskLayout({f"layer{i}": shape for i, shape in enumerate(shapes)})


@given(layers, st.integers(0, 2**32), st.floats(0, 1))
def test_pack_is_numpy_packbits_layer_by_layer(shapes, seed, density):
    layout = layout_of(shapes)
    masks = random_masks(seed, layout, density)
    packed = layout.pack(masks)
    expected = b"".join(
        np.packbits(mask.ravel(), bitorder="little").tobytes() for mask in masks.values()
    )
    assert packed.tobytes() == expected
    assert packed.size == layout.packed_bytes
    assert count_ones(packed) == sum(int(mask.sum()) for mask in masks.values())
    assert sha256_of_bits(packed) == hashlib.sha256(expected).digest()
    assert layout.has_clean_padding(packed)
    back = layout.unpack(packed)
    assert list(back) == list(masks)
    for name in masks:
        assert back[name].dtype == np.bool_
        assert np.array_equal(back[name], masks[name])


@given(layers)
def test_json_round_trip(shapes):
    layout = layout_of(shapes)
    assert MaskLayout.from_json(layout.to_json()) == layout
    assert MaskLayout.from_json(layout.to_json()).digest() == layout.digest()


def test_padding_bits_are_noticed():
    packed = LAYOUT.pack(random_masks(0))
    packed[8] |= 0x40  # bit 70 of a layer of 70
    assert not LAYOUT.has_clean_padding(packed)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "at least one layer"),
        ({"a": ()}, "needs a shape"),
        ({"a": (0,)}, "positive whole sizes"),
        ({"a": (2.0,)}, "positive whole sizes"),
        ({"a": (True,)}, "positive whole sizes"),
        ({"": (2,)}, "printable"),
        ({"a\n": (2,)}, "printable"),
        ({"a": (2**31, 4)}, "at most"),
    ],
)
def test_unusable_layouts(shapes, message):
    # Through JSON, where beartype does not look first.
    value = [{"name": name, "shape": list(shape)} for name, shape in shapes.items()]
    with pytest.raises(InvalidInput, match=message):
        MaskLayout.from_json(value)


@pytest.mark.parametrize("value", [None, {}, [1], [{"name": 1, "shape": [2]}], [{"name": "a"}]])
def test_json_that_is_no_layout(value):
    with pytest.raises(InvalidInput):
        MaskLayout.from_json(value)


def test_a_layer_name_twice():
    with pytest.raises(InvalidInput, match="twice"):
        MaskLayout.from_json([{"name": "a", "shape": [1]}, {"name": "a", "shape": [2]}])


def broken(change):
    masks = random_masks(1)
    change(masks)
    return masks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("fc2.weight"), "'fc2.weight' is missing"),
        (lambda m: m.update(extra=np.ones(3, bool)), "unknown layer 'extra'"),
        (
            lambda m: m.update({"fc2.weight": np.ones(6, bool)}),
            r"expected shape \(5,\), got \(6,\)",
        ),
        (lambda m: m.update({"fc2.weight": np.ones(5)}), "expected dtype bool, got float64"),
    ],
)
def test_masks_that_do_not_fit(change, message):
    with pytest.raises(InvalidMask, match=message):
        LAYOUT.pack(broken(change))
