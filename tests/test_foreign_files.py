"""Every reader of files that others wrote, given every kind of file that nobody should: one clear
error that names it, in no time and with no memory, and nothing is left behind."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from maskstore import MaskArchive, SupsupError
from maskstore.foreign import foreign_file, read_npy
from maskstore.interchange import layout_of, load_task
from supsup.checkpoints import import_checkpoint
from supsup.datasets.idx import read_idx
from supsup.datasets.inputs import load_inputs
from supsup.datasets.lazy_images import decode
from tests.maskstore.helpers import LAYOUT

READERS = {
    "add .npz": (".npz", lambda path: LAYOUT.pack(load_task(path, LAYOUT)[0])),
    "add .safetensors": (".safetensors", lambda path: LAYOUT.pack(load_task(path, LAYOUT)[0])),
    "create --like .npz": (".npz", layout_of),
    "create --like .safetensors": (".safetensors", layout_of),
    "import": (".pt", lambda path: import_checkpoint(path, path.with_name("new.h5"))),
    "infer .npy": (".npy", lambda path: load_inputs(path, "mnist")),
    "infer .npz": (".npz", lambda path: load_inputs(path, "mnist")),
    "infer IDX": ("", lambda path: load_inputs(path, "mnist")),
    "IDX": (".gz", read_idx),
    "picture": (".png", lambda path: decode(path, 8)),
    "archive": (".h5", MaskArchive.open),
    "archive to write": (".h5", lambda path: MaskArchive.open(path, "a", timeout=0)),
}


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode() + data


def npz(content: bytes, **changes) -> bytes:
    """An .npz of one member, its entry in the directory changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("w.npy", content)
    data = bytearray(file.getvalue())
    if changes.get("encrypted"):
        for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            data[data.index(signature) + offset] |= 1
    if "size" in changes:
        struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, changes["size"])
    return bytes(data)


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


ONE = "{'descr': '|b1', 'fortran_order': False, 'shape': %s}"
BF16 = {"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}

CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "a dot": b".",
    "zeros": bytes(4096),
    "text": b"hello\n" * 100,
    "a pickle": pickle.dumps({"a": 1}),
    "a pickle that never ends": b"\x80\x02" + b"(" * 5000,
    "half a zip": npz(npy(ONE % "(1,)", b"\1"))[:40],
    "an encrypted member": npz(npy(ONE % "(1,)", b"\1"), encrypted=True),
    "a member that says it is large": npz(npy(ONE % "(2000000000,)", b"\1"), size=2**31),
    "a header of a terabyte": npz(npy(ONE % "(1099511627776,)", b"\1")),
    "a terabyte, alone": npy(ONE % "(1099511627776,)", b"\1"),
    "a negative axis": npz(npy(ONE % "(-1,)", b"\1")),
    "a header that is code": npy("__import__('os').system('touch supsup-was-here')"),
    "a header cut off": npy(ONE % "(1,)")[:12],
    "an unknown version": npy(ONE % "(1,)", b"\1", b"\7\0"),
    "objects": npz(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\1")),
    "records": npz(npy("{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (1,)}", b"1234")),
    "bfloat16": safetensors(BF16, bytes(4)),
    "float8": safetensors({"w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"12"),
    "an unknown type": safetensors({"w": {"dtype": "Q3", "shape": [4], "data_offsets": [0, 4]}}),
    "a header of the wrong types": safetensors({"w": [1, 2]}),
    "a header that is a list": safetensors([1, 2]),
    "a header larger than the file": struct.pack("<Q", 2**62) + b"{}",
    "offsets outside": safetensors({"w": {"dtype": "BOOL", "shape": [9], "data_offsets": [0, 9]}}),
    "deep JSON": safetensors(b"[" * 100_000),
    "gzip cut off": b"\x1f\x8b\x08" + bytes(20),
    "an IDX of four gigabytes": b"\0\0\x08\x01\xff\xff\xff\xff",
    "a picture of 4 gigapixels": png(65_535, 65_535),
    "a picture of nothing": png(4, 4)[:50],
}  # fmt: skip


@pytest.mark.parametrize("shape", [(), (0, 3), (3,), (2, 2)])
def test_arrays_of_every_shape_are_read(shape, tmp_path):
    array = np.arange(np.prod(shape, dtype=int), dtype=">i4").reshape(shape)
    np.save(tmp_path / "a.npy", array)
    size = (tmp_path / "a.npy").stat().st_size
    with open(tmp_path / "a.npy", "rb") as file:
        found = read_npy(file, size)
    assert found.dtype == np.int32
    assert np.array_equal(found, array)
    with open(tmp_path / "a.npy", "rb") as file, pytest.raises(ValueError, match="does not fit"):
        read_npy(file, array.nbytes - 1)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


THINGS = {
    "a pipe": make_pipe,
    "a link to itself": make_loop,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "nothing there": lambda path: None,
}
PATHS = {
    "a NUL": "a\0b",
    "a lone surrogate": "a\ud800b",
    "a name too long": "x" * 300,
    "a path too long": "x/" * 3000 + "x",
    "a file as a folder": "file/x",
}


def refused(reader: str, path: Path, folder: Path) -> None:
    before = sorted(folder.iterdir())
    tracemalloc.start()
    try:
        with pytest.raises(SupsupError) as caught:
            READERS[reader][1](path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert not Path("supsup-was-here").exists()
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("reader", READERS)
def test_content_that_is_none(tmp_path, reader, content):
    path = tmp_path / f"foreign{READERS[reader][0]}"
    path.write_bytes(CONTENTS[content])
    refused(reader, path, tmp_path)


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file(tmp_path, reader, thing):
    path = tmp_path / f"foreign{READERS[reader][0]}"
    THINGS[thing](path)
    refused(reader, path, tmp_path)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("reader", READERS)
def test_a_path_that_is_none(tmp_path, reader, name):
    (tmp_path / "file").touch()
    refused(reader, tmp_path / (PATHS[name] + READERS[reader][0]), tmp_path)


@pytest.mark.parametrize("name", [each for each in PATHS if each != "a file as a folder"])
def test_a_path_to_write_that_is_none(tmp_path, name):
    with pytest.raises(SupsupError):
        MaskArchive.create(tmp_path / PATHS[name], LAYOUT)


@pytest.mark.parametrize(
    "url",
    [
        "data://x",
        "data://x,y",
        "data://text/plain;base64,YQ==",
        "tar://x::{file}",
        "zip://x::{file}",
        "zip://x::nowhere",
        "dir://x",
        "reference://x",
        "file://{file}",
        "memory://nothing",
        "nosuch://x",
        "://",
        "a://b::c://d",
    ],
)
def test_urls_that_lead_to_no_archive(tmp_path, url):
    (tmp_path / "file").write_bytes(b"hello")
    with pytest.raises(SupsupError) as caught:
        MaskArchive.open(url.format(file=tmp_path / "file"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.int64])
def test_tensors_that_are_no_masks(tmp_path, dtype):
    save_file({"w": torch.ones(4, dtype=torch.float32).to(dtype)}, tmp_path / "a.safetensors")
    refused("create --like .safetensors", tmp_path / "a.safetensors", tmp_path)


NO_MASKS = {
    "requires grad": "torch.ones(2, 3, requires_grad=True)",
    "meta": "torch.ones(2, 3, device='meta')",
    "sparse": "torch.ones(2, 3, dtype=torch.bool).to_sparse()",
    "bfloat16": "torch.ones(2, 3, dtype=torch.bfloat16)",
    "nested": "torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])",
    "ragged": "[[True], [True, False]]",
    "a mapping": "{'a': True}",
    "None": "None",
    "text": "'mask'",
    "objects": "np.ones((2, 3), object)",
}


def test_arrays_that_are_no_masks():
    """In another process: the types that the tests check would be refused before the layout."""
    program = f"""
import json, warnings, numpy as np, torch
from maskstore import InvalidMask, MaskLayout
warnings.simplefilter("ignore")
said = {{}}
for name, code in {NO_MASKS!r}.items():
    try:
        MaskLayout({{"w": (2, 3)}}).pack({{"w": eval(code)}})
    except InvalidMask as error:
        said[name] = str(error)
print(json.dumps(said))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    said = json.loads(done.stdout)
    assert said.keys() == NO_MASKS.keys()
    for text in said.values():
        assert "expected a dense boolean array" in text or "expected dtype bool" in text
        assert "\n" not in text


def test_what_passes_is_read(tmp_path):
    """The table above would pass where everything is refused."""
    masks = {"w": np.array([[True, False], [False, True]], order="F")}
    np.savez(tmp_path / "a.npz", **masks)
    assert layout_of(tmp_path / "a.npz").shapes == {"w": (2, 2)}
    big_endian = np.arange(2 * 784, dtype=">f4").reshape(2, 784) / 2000 - 0.1  # normalised
    np.save(tmp_path / "a.npy", big_endian)
    assert load_inputs(tmp_path / "a.npy", "mnist")[1, 3] == float(big_endian[1, 3])
    save_file({"w": torch.ones(2, 3, dtype=torch.bool)}, tmp_path / "a.safetensors")
    assert layout_of(tmp_path / "a.safetensors").shapes == {"w": (2, 3)}


def test_images_that_unpack_to_more_than_asked_for(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, np.zeros((3000, 28, 28), np.uint8))
    assert path.stat().st_size < 10_000
    assert len(load_inputs(path, "mnist")) == 3000
    with pytest.raises(SupsupError, match="holds 2352128 bytes, at most 1000000 are read"):
        load_inputs(path, "mnist", largest=1_000_000)


def test_errors_that_are_ours_pass_the_boundary(tmp_path):
    (tmp_path / "a").touch()
    own = SupsupError("ours")
    with pytest.raises(SupsupError) as caught, foreign_file(tmp_path / "a", "file"):
        raise own
    assert caught.value is own
    with pytest.raises(KeyboardInterrupt), foreign_file(tmp_path / "a", "file"):
        raise KeyboardInterrupt
