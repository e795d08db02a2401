"""Sets of tensors as bytes: every type exactly, and nothing that was not written passes."""

import json
import random
import time
import tracemalloc
import zlib
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskstore import ArchiveError, BFloat16, CorruptArchive, InvalidInput
from maskstore.tensors import decode_set, describe, encode_set
from maskstore.tensors.coding import PLANES, RAW, decode, encode
from maskstore.tensors.values import DTYPES
from tests.maskstore.codecs.test_hostile import mutations

NUMPY_TYPES = [name for name in DTYPES if name != "bfloat16"]


def round_trip(tensors):
    stored = encode_set("task 't'", tensors)
    return stored, decode_set("task 't'", *stored)


@pytest.mark.parametrize("dtype", NUMPY_TYPES)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 0, 2), (300, 11), (2, 1, 5)], ids=str)
def test_every_type_and_shape_comes_back(dtype, shape):
    raw = np.random.default_rng(0).bytes(int(np.prod(shape)) * DTYPES[dtype].itemsize)
    # Any bits at all: NaN with a payload, infinities, denormals.
    array = np.frombuffer(raw, "u1" if dtype == "bool" else dtype).reshape(shape)
    array = array > 100 if dtype == "bool" else array
    stored, found = round_trip({"x": array})
    assert found["x"].dtype == np.dtype(dtype)
    assert found["x"].shape == shape
    assert found["x"].tobytes() == array.tobytes()
    assert found["x"].flags.writeable
    (info,) = describe(stored.description)
    assert (info.name, info.shape, info.dtype) == ("x", shape, dtype)
    assert info.bytes <= array.nbytes


def test_bfloat16_is_stored_in_two_bytes_and_comes_back_as_float32():
    values = np.array([[1.0, -2.5, 2.0**100], [np.inf, np.nan, -0.0]], np.float32)
    stored, found = round_trip({"x": BFloat16(values)})
    assert found["x"].dtype == np.float32
    assert found["x"].tobytes() == values.tobytes()
    assert describe(stored.description)[0][1:] == ((2, 3), "bfloat16", 12)
    with pytest.raises(InvalidInput, match="2 of 3 values are not bfloat16"):
        BFloat16(np.array([1.0, 1.001, np.pi], np.float32))
    with pytest.raises(InvalidInput, match="expected a float32 array, got float64"):
        BFloat16(np.zeros(3))


def test_other_orders_in_memory():
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    tensors = {"f": np.asfortranarray(array), "big": array.astype(">i4"), "s": array[::2]}
    _, found = round_trip(tensors)
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)


def test_what_is_alike_is_stored_in_few_bytes():
    near_one = np.random.default_rng(0).normal(1.0, 0.01, 4096).astype(np.float32)
    stored, _ = round_trip({"norm": near_one, "zeros": np.zeros(4096, np.int64)})
    norm, zeros = describe(stored.description)
    assert norm.bytes < 0.8 * near_one.nbytes
    assert zeros.bytes < 300


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([1], "expected name -> array, got list"),
        ({"x": [1.0]}, "tensor 'x': expected a numpy array, got list"),
        ({"x": np.zeros(3)}, "tensor 'x': expected one of float32.*got float64; convert it"),
        ({"x": np.array(["a"])}, "got str32"),
        ({"x": np.array([{}])}, "got object"),
        ({"x": np.zeros(3, np.uint16)}, "got uint16"),
        ({"": np.zeros(3, np.int8)}, "must be printable text, got ''"),
        ({3: np.zeros(3, np.int8)}, "must be printable text, got 3"),
        ({"a\nb": np.zeros(3, np.int8)}, "must be printable text"),
        ({"x" * 256: np.zeros(3, np.int8)}, "at most 255 bytes of name"),
        ({"x": np.broadcast_to(np.int8(0), (2**31, 2))}, "at most 32 axes and 4294967295 bytes"),
        ({"x": np.broadcast_to(np.int8(0), (0, 2**31, 2**31))}, "at most 32 axes"),
        ({f"{i}" * 40: np.zeros((), np.int8) for i in range(70_000)}, "70000 tensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_stored_is_one_line(tensors, message):
    with pytest.raises(InvalidInput, match=f"^task 't': .*{message}") as caught:
        encode_set("task 't'", tensors)
    assert "\n" not in str(caught.value)


def test_constants_are_no_bombs():
    """What compresses further than a reader believes is stored so that it is read."""
    large = np.zeros(1 << 26, np.int8)
    stored, found = round_trip({"one": large})
    assert np.array_equal(found["one"], large)
    many = {f"x{i}": np.zeros(1 << 22, np.int8) for i in range(8)}
    stored, found = round_trip(many)
    assert all(np.array_equal(found[name], array) for name, array in many.items())
    assert len(stored.payload) >= 8 << 22


def forged(count: int, dtype: str, shape: list[int]) -> tuple[bytes, bytes, bytes]:
    """A small set whose description claims ``count`` tensors of that shape."""
    schema = json.dumps([[f"x{i}", dtype, shape] for i in range(count)]).encode()
    lengths = np.full(count, 9, "<u4").tobytes()
    description = count.to_bytes(2, "little") + lengths + schema
    return description, bytes(37 * count + 9 * count), bytes(32)


@pytest.mark.parametrize(
    ("count", "dtype", "shape"),
    [
        (1, "float32", [2**30 - 1]),
        (1, "int64", [2**32 - 1, 2**32 - 1]),
        (1, "bool", [2**32 - 1]),
        (1, "int8", [0, 2**32 - 1, 2**32 - 1]),
        (1, "int8", [-1]),
        (1, "int8", [1.0]),
        (1, "int8", [True]),
        (1, "int8", [1] * 33),
        (1, "float64", [1]),
        (1, "int8", [10**4000]),
        (30_000, "int8", [2**20]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_forged_shapes_are_refused_before_anything_is_allocated(count, dtype, shape):
    parts = forged(count, dtype, shape)
    tracemalloc.start()
    with pytest.raises(CorruptArchive, match="^m: its tensors are damaged"):
        decode_set("m", *parts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_names_that_inflate_without_end():
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    text = bomb.compress(b"[" * (1 << 27)) + bomb.flush()
    tracemalloc.start()
    with pytest.raises(CorruptArchive, match="not JSON"):
        describe(b"\1\0" + bytes(4) + b"\0" + text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_a_name_that_occurs_twice():
    schema = b'[["x","int8",[1]],["x","int8",[1]]]'
    with pytest.raises(CorruptArchive, match="occurs twice"):
        describe(b"\2\0" + bytes(8) + schema)


TENSORS = {
    "weight": np.random.default_rng(1).normal(1.0, 0.01, (16, 9)).astype(np.float32),
    "count": np.array(12),
    "flags": np.arange(21) % 3 == 0,
    "half": BFloat16(np.arange(40, dtype=np.float32)),
}


@pytest.mark.parametrize("part", ["description", "payload", "sha256"])
def test_mutated_bytes_never_pass(part):
    """Values that differ are refused, whichever part of the set was changed."""
    stored = encode_set("task 't'", TENSORS)
    good = decode_set("task 't'", *stored)
    refused = 0
    for bad in islice(mutations(getattr(stored, part), random.Random(part)), 1500):
        start = time.process_time()  # others may have the processor
        try:
            found = decode_set("task 't'", *stored._replace(**{part: bad}))
        except ArchiveError:
            refused += 1
        else:
            assert list(found) == list(good)
            assert all(found[name].tobytes() == good[name].tobytes() for name in good)
            assert all(found[name].dtype == good[name].dtype for name in good)
        assert time.process_time() - start < 5
    assert refused > 1400


@pytest.mark.parametrize("item_bytes", [1, 2, 4, 8])
def test_mutated_codes_end_in_an_error_or_in_bytes(item_bytes):
    data = np.random.default_rng(0).normal(1.0, 0.01, 4096).astype(np.float32).view(np.uint8)
    coding, stored = encode(data, item_bytes)
    assert np.array_equal(decode(coding, stored, data.size, item_bytes), data)
    refused = 0
    for bad in islice(mutations(stored, random.Random(item_bytes)), 300):
        for number in (RAW, PLANES, 7):
            try:
                assert decode(number, bad, data.size, item_bytes).size == data.size
            except ArchiveError:
                refused += 1
    assert refused > 300


ARRAYS = st.tuples(st.sampled_from(NUMPY_TYPES), st.binary(max_size=200), st.integers(1, 4))


@given(st.dictionaries(st.text(min_size=1, max_size=20), ARRAYS, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_set_round_trips(drawn):
    tensors = {}
    for name, (dtype, raw, axis) in drawn.items():
        width = DTYPES[dtype].itemsize * axis
        values = np.frombuffer(raw[: len(raw) // width * width], "u1" if dtype == "bool" else dtype)
        array = values.reshape(-1, axis)
        tensors[name] = array > 99 if dtype == "bool" else array
    try:
        stored, found = round_trip(tensors)
    except InvalidInput:
        assert not all(name.isprintable() for name in tensors)
        return
    assert list(found) == list(tensors)
    assert all(found[name].tobytes() == tensors[name].tobytes() for name in tensors)
    assert [each.shape for each in describe(stored.description)] == [
        each.shape for each in tensors.values()
    ]
