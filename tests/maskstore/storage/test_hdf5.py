"""The HDF5 structures, read back with libhdf5."""

import h5py
import numpy as np
import pytest

from maskstore.storage import hdf5


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # From the self test of lookup3.c (driver5).
        (b"", 0xDEADBEEF),
        (b"Four score and seven years ago", 0x17770551),
    ],
)
def test_lookup3_against_its_authors_values(data, expected):
    assert hdf5.lookup3(data) == expected


@pytest.mark.parametrize("groups", [1, 9, 300])
def test_libhdf5_reads_what_we_write(tmp_path, groups):
    row = hdf5.compound(
        [("number", 0, hdf5.uint(8)), ("short", 8, hdf5.uint(2)), ("sha", 10, hdf5.byte_array(32))],
        42,
    )
    content = np.arange(84, dtype=np.uint8).tobytes()
    file = bytearray(4096)
    file[3000:3084] = content
    table = hdf5.dataset(row, 42, 2, 3000)
    empty = hdf5.dataset(hdf5.uint(1), 1, 0, 3084)
    file[1024 : 1024 + len(table)] = table
    file[2048 : 2048 + len(empty)] = empty
    links = [(f"{i:05d}", 1024) for i in range(groups)] + [("empty", 2048)]
    root = len(file)
    file += hdf5.group(links, [("format", "test"), ("version", "7")])
    file[:48] = hdf5.superblock(root, len(file))
    path = tmp_path / "a.h5"
    path.write_bytes(file)
    with h5py.File(path) as opened:
        assert len(opened) == groups + 1
        assert dict(opened.attrs) == {"format": b"test", "version": b"7"}
        assert opened["empty"].shape == (0,)
        last = opened[f"{groups - 1:05d}"]
        assert last[...].tobytes() == content
        assert last.dtype.names == ("number", "short", "sha")
        assert last[1]["number"] == int.from_bytes(content[42:50], "little")


def test_a_flipped_bit_in_a_header_is_refused_by_libhdf5(tmp_path):
    file = bytearray(1024)
    root = hdf5.group([])
    file[512 : 512 + len(root)] = root
    file[:48] = hdf5.superblock(512, len(file))
    file[520] ^= 1
    path = tmp_path / "a.h5"
    path.write_bytes(file)
    with h5py.File(path) as opened, pytest.raises(RuntimeError):
        list(opened)


def test_bytes_that_libhdf5_does_not_look_at():
    """By the HDF5 file format specification 3.0: II.B, IV.A.1.b, IV.A.2.m."""
    nowhere = b"\xff" * 8
    assert hdf5.superblock(1000, 4096)[:44] == b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + bytes(
        8
    ) + nowhere + (4096).to_bytes(8, "little") + (1000).to_bytes(8, "little")
    attribute = hdf5.group([], [("n", "vv")])
    sizes = bytes([3, 0, 2, 0, 8, 0, 4, 0, 0])
    of_type = bytes([0x13, 1, 0, 0, 2, 0, 0, 0])
    body = sizes + b"n\0" + of_type + bytes([2, 0, 0, 0]) + b"vv"
    assert bytes([0x0C, len(body), 0, 0]) + body in attribute
