"""Masks as bitarrays: the same bits as numpy has, read-only, not copied; counts of two masks."""

import numpy as np
import pytest
from bitarray import bitarray, frozenbitarray
from hypothesis import given
from hypothesis import strategies as st

from maskstore import InvalidInput, InvalidMask, MaskArchive, MaskLayout, PackedMasks
from maskstore.bits import bits_over, difference, duplicates, hamming, hamming_to_each, overlap
from maskstore.layout import count_ones
from tests.maskstore.helpers import LAYOUT, equal, random_masks

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
layers = st.lists(shapes, min_size=1, max_size=4)


def layout_of(shapes):
    return MaskLayout({f"layer{at}": shape for at, shape in enumerate(shapes)})


def packed_masks(layout, seeds):
    return PackedMasks(
        layout=layout,
        names=tuple(f"t/{at}" for at in range(len(seeds))),
        bits=np.stack([layout.pack(random_masks(seed, layout)) for seed in seeds]),
    )


@pytest.fixture(params=["packed masks", "archive", "layout"])
def bitarrays_of(request, tmp_path):
    """(a mask) → its bitarrays, from each that gives them."""
    masks = random_masks(1)
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        archive.add("t", masks)
        yield {
            "packed masks": lambda **given: archive.packed().bitarrays(0, **given),
            "archive": lambda **given: archive.bitarrays("t", **given),
            "layout": lambda **given: LAYOUT.bitarrays(LAYOUT.pack(masks), **given),
        }[request.param]


def test_layers_have_the_bits_of_the_mask_and_zeros_behind(bitarrays_of):
    masks = random_masks(1)
    views, copies = bitarrays_of(), bitarrays_of(exact=True)
    assert list(views) == list(copies) == list(masks)
    for name, mask in masks.items():
        assert mask.size % 8  # both layers are padded
        assert len(views[name]) == -(-mask.size // 8) * 8
        assert views[name].endian == "little"
        assert views[name][: mask.size].tolist() == mask.ravel().tolist()
        assert not views[name][mask.size :].any()
        assert copies[name].tolist() == mask.ravel().tolist()


def test_views_cannot_be_written_to_and_copies_can(bitarrays_of):
    views, copies = bitarrays_of(), bitarrays_of(exact=True)
    for change in (
        lambda bits: bits.__setitem__(0, 1),
        lambda bits: bits.setall(0),
        lambda bits: bits.append(1),
        lambda bits: bits.__ior__(bits),
        lambda bits: bits.reverse(),
    ):
        with pytest.raises((TypeError, BufferError)):
            change(views["fc1.weight"])
    copies["fc1.weight"].setall(0)
    assert bitarrays_of()["fc1.weight"] == views["fc1.weight"]
    assert views["fc1.weight"].any()


def test_views_lie_over_the_bytes():
    masks = packed_masks(LAYOUT, [1, 2])
    for row in range(2):
        views = masks.bitarrays(row)
        for name, _, where, _ in LAYOUT.layers():
            assert np.shares_memory(np.frombuffer(views[name], np.uint8), masks.bits[row, where])
    first = masks.bitarrays(0)["fc1.weight"]
    masks.bits[0, 0] ^= 1
    assert first[0] == masks.bits[0, 0] & 1


def test_bytes_that_lie_scattered_are_copied():
    scattered = np.asfortranarray(packed_masks(LAYOUT, [1, 2]).bits)
    bits = bits_over(scattered[0])
    assert bits.tobytes() == scattered[0].tobytes()
    assert bits.readonly


@given(layers, st.integers(0, 2**32), st.integers(0, 2**32))
def test_counts_are_those_of_plain_numpy(shapes, a, b):
    layout = layout_of(shapes)
    masks = packed_masks(layout, [a, b])
    first, second = (layout.join(masks.unpack(at)) for at in (0, 1))
    assert masks.overlap(0, 1) == (first & second).sum()
    assert masks.difference(0, 1) == (first & ~second).sum()
    assert masks.difference(1, 0) == (second & ~first).sum()
    assert masks.hamming(0, 1) == (first != second).sum()
    assert count_ones(masks.bits[0]) == first.sum()
    assert hamming_to_each(masks.bits, masks.bits[1]).tolist() == [(first != second).sum(), 0]
    for name in layout.shapes:
        left, right = (masks.unpack(at)[name] for at in (0, 1))
        for exact in (False, True):
            one, other = (masks.bitarrays(at, exact=exact)[name] for at in (0, 1))
            assert overlap(one, other) == (left & right).sum()
            assert difference(one, other) == (left & ~right).sum()
            assert hamming(one, other) == (left != right).sum()


@given(layers, st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_duplicates_are_found_in_groups(shapes, seeds):
    masks = packed_masks(layout_of(shapes), seeds)
    groups = {}
    for name, row in zip(masks.names, masks.bits.tolist(), strict=True):
        groups.setdefault(tuple(row), []).append(name)
    assert masks.duplicates() == [tuple(group) for group in groups.values() if len(group) > 1]


def test_masks_whose_hashes_agree_are_compared():
    class Alike(bitarray):
        def tobytes(self):
            return b"the same of all"

    assert duplicates([Alike("10"), Alike("01"), Alike("10"), Alike("0")]) == [[0, 2]]


def test_masks_of_two_lengths_are_refused():
    views, copies = (packed_masks(LAYOUT, [1]).bitarrays(0, exact=exact) for exact in (False, True))
    for count in (overlap, difference, hamming):
        with pytest.raises(InvalidInput, match="got 72 little-endian bits and 70 .*padding"):
            count(views["fc1.weight"], copies["fc1.weight"])
    with pytest.raises(InvalidInput, match="big-endian"):
        overlap(views["fc1.weight"], bitarray(72, endian="big"))


def as_given(kind, mask):
    bits = bitarray(mask.ravel().tolist(), endian="big" if kind == "big-endian" else "little")
    if kind == "padded":
        bits.fill()
    return frozenbitarray(bits) if kind == "frozen" else mask if kind == "boolean" else bits


@pytest.mark.parametrize("kind", ["exact", "padded", "frozen", "big-endian", "boolean"])
def test_add_takes_bits_of_either_length(kind, tmp_path):
    masks = random_masks(1)
    given = {name: as_given(kind, mask) for name, mask in masks.items()}
    mixed = given | {"fc2.weight": masks["fc2.weight"]}
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        stored = [
            archive.add("plain", masks),
            archive.add("bits", given),
            archive.add("mix", mixed),
        ]
        archive.add_many([("copied", archive.bitarrays("bits"), {})])
        assert len({task.sha256 for task in [*stored, archive.task("copied")]}) == 1
        assert equal(archive.get("bits"), masks)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (bitarray(69), "'fc1.weight': expected 70 bits, or 72 with padding, got 69"),
        (bitarray(71), "'fc1.weight': expected 70 bits, or 72 with padding, got 71"),
        (bitarray(80), "'fc1.weight': expected 70 bits, or 72 with padding, got 80"),
        (bitarray(71 * [0] + [1]), "'fc1.weight': expected zeros in the padding after its 70 bits"),
    ],
    ids=["short", "long", "a byte too long", "ones in the padding"],
)
def test_bits_that_are_no_layer(bits, message, tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        with pytest.raises(InvalidMask, match=message):
            archive.add("t", random_masks(0) | {"fc1.weight": bits})
        assert len(archive) == 0


def test_a_layer_of_whole_bytes_has_one_length():
    layout = MaskLayout({"w": (8,)})
    with pytest.raises(InvalidMask, match="'w': expected 8 bits, got 16"):
        layout.pack({"w": bitarray(16)})
    assert layout.pack({"w": bitarray("10000001")}).tolist() == [0b1000_0001]
