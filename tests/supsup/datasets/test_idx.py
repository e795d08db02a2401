import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from maskstore.errors import InvalidInput
from supsup.datasets.idx import encode_idx, idx_md5, read_idx
from tests.supsup.datasets.helpers import idx_bytes

ARRAYS = npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, max_side=6))
EXAMPLE = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@settings(max_examples=40, deadline=None)
@given(array=ARRAYS, zipped=st.booleans())
def test_round_trip(tmp_path_factory, array, zipped):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    read = read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.uint8
    assert encode_idx(array) == idx_bytes(array)
    assert idx_md5(array) == hashlib.md5(idx_bytes(array)).hexdigest()


def test_gzip_is_seen_from_the_content_not_the_name(tmp_path):
    (tmp_path / "plain.gz").write_bytes(idx_bytes(EXAMPLE))
    (tmp_path / "zipped").write_bytes(gzip.compress(idx_bytes(EXAMPLE)))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), EXAMPLE)
    np.testing.assert_array_equal(read_idx(tmp_path / "zipped"), EXAMPLE)


def test_a_file_of_many_blocks(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3000, 28, 28), dtype=np.uint8)
    (tmp_path / "big").write_bytes(idx_bytes(array))
    np.testing.assert_array_equal(read_idx(tmp_path / "big"), array)


GOOD = idx_bytes(EXAMPLE)
BAD = {
    "empty": (b"", "found nothing"),
    "text": (b"<html>not found</html>", "not an IDX file of unsigned bytes.*found 3c 68 74 6d"),
    "floats": (b"\0\0\x0d" + GOOD[3:], "not an IDX file of unsigned bytes"),
    "no axes": (b"\0\0\x08\0" + GOOD[4:], "not an IDX file"),
    "many axes": (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x", "not an IDX file"),
    "header cut": (GOOD[:9], "truncated inside its header"),
    "size zero": (b"\0\0\x08\2" + struct.pack(">II", 0, 2**32 - 1), "empty array"),
    "trailing": (GOOD + b"x", "expected 24 bytes of data.*found more"),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_refuses(tmp_path, content, message, zipped):
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_refuses_every_truncation(tmp_path, length):
    zipped = gzip.compress(GOOD)
    (tmp_path / "plain").write_bytes(GOOD[:length])
    (tmp_path / "inner").write_bytes(gzip.compress(GOOD[:length]))
    (tmp_path / "outer").write_bytes(zipped[: length * len(zipped) // len(GOOD)])
    for name in ("plain", "inner", "outer"):
        with pytest.raises(InvalidInput):
            read_idx(tmp_path / name)


def test_refuses_flipped_bytes_of_gzip(tmp_path):
    zipped = bytearray(gzip.compress(GOOD, mtime=0))
    for where in range(10, len(zipped)):
        damaged = zipped.copy()
        damaged[where] ^= 0x55
        (tmp_path / "file").write_bytes(damaged)
        with pytest.raises(InvalidInput):
            read_idx(tmp_path / "file")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("sizes", [(2**32 - 1,) * 4, (1, 1, 2**15, 2**15 + 1), (1, 1, 1, 2**29)])
def test_a_promise_the_file_cannot_keep_allocates_nothing(tmp_path, sizes, zipped):
    content = b"\0\0\x08\4" + struct.pack(">4I", *sizes) + b"x" * 100
    (tmp_path / "file").write_bytes(gzip.compress(content) if zipped else content)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="its header promises"):
            read_idx(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_refuses_what_cannot_be_opened(tmp_path):
    with pytest.raises(InvalidInput, match="nowhere: cannot read: No such file"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"regular file \(IDX file\), found a folder"):
        read_idx(tmp_path)
