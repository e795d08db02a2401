import hashlib
import math

import numpy as np
import pytest
import torch
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


@given(
    layers,
    st.sampled_from(["bool", "uint8", "float32", "float64", "int64"]),
    st.lists(st.integers(0, 3), max_size=2).map(tuple),
    st.integers(0, 2**32),
)
def test_join_lays_layers_end_to_end_and_split_takes_them_apart(shapes, dtype, batch, seed):
    layout, rng = layout_of(shapes), np.random.default_rng(seed)
    given = {
        name: rng.integers(0, 2, (*batch, *shape)).astype(dtype)
        for name, shape in layout.shapes.items()
    }
    flat = layout.join(dict(reversed(given.items())))
    rows = [given[name].reshape(*batch, math.prod(of)) for name, of in layout.shapes.items()]
    np.testing.assert_array_equal(flat, np.concatenate(rows, axis=-1), strict=True)
    back = layout.split(flat)
    assert list(back) == list(given)
    for name, layer in given.items():
        np.testing.assert_array_equal(back[name], layer, strict=True)
        np.testing.assert_array_equal(flat[..., layout.offsets[name]], rows.pop(0), strict=True)
        assert not layer.size or np.shares_memory(back[name], flat)


def test_tensors_are_joined_into_one_and_split_into_views_of_it():
    given = {name: torch.rand(3, *shape) for name, shape in LAYOUT.shapes.items()}
    out = torch.empty(3, LAYOUT.bits)
    assert LAYOUT.join(given, out) is out
    assert torch.equal(out, torch.cat([layer.flatten(1) for layer in given.values()], dim=1))
    back = LAYOUT.split(out)
    assert all(torch.equal(back[name], given[name]) for name in given)
    back["fc2.weight"].zero_()
    assert not out[:, LAYOUT.offsets["fc2.weight"]].any()


@given(layers, st.integers(0, 2**32))
def test_flat_bits_are_the_mask_without_its_padding(shapes, seed):
    layout = layout_of(shapes)
    masks = random_masks(seed, layout)
    flat = layout.unpack_flat(layout.pack(masks))
    np.testing.assert_array_equal(flat, layout.join(masks).astype(np.uint8), strict=True)
    np.testing.assert_array_equal(layout.pack_flat(flat), layout.pack(masks), strict=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layers: layers.pop("fc2.weight"), "'fc2.weight' is missing"),
        (lambda layers: layers.update(more=np.zeros(3)), "unknown layer 'more'"),
        (
            lambda layers: layers.update({"fc2.weight": np.zeros((2, 5))}),
            r"'fc2.weight': expected shape \(5,\), got \(2, 5\)",
        ),
        (
            lambda layers: layers.update({"fc1.weight": np.zeros((2, 10, 7))}),
            r"'fc2.weight': expected shape \(2, 5\), got \(5,\)",
        ),
        (
            lambda layers: layers.update({"fc1.weight": np.zeros(70)}),
            r"'fc1.weight': expected shape \(10, 7\), got \(70,\)",
        ),
    ],
    ids=["missing", "unknown", "one with a batch axis", "batch axis missing", "flat already"],
)
def test_layers_that_cannot_be_joined(change, message):
    given = {name: np.zeros(shape) for name, shape in LAYOUT.shapes.items()}
    change(given)
    with pytest.raises(InvalidMask, match=message):
        LAYOUT.join(given)


@pytest.mark.parametrize("shape", [(), (74,), (76,), (75, 2)])
def test_what_cannot_be_split(shape):
    with pytest.raises(InvalidInput, match="expected 75 numbers to split"):
        LAYOUT.split(np.zeros(shape))
