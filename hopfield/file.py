"""A memory in a file of its own: HDF5, compressed, checked; no archive is needed to use it.

The file has the datasets ``/header`` and ``/state`` (docs/hopfield.md). Everything but the two
follows from them, so a reader makes the file again and compares: no byte of it can be altered
unnoticed, and libhdf5 never sees a damaged one.
"""

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from hopfield.rules import FORMS, RULES, HopfieldMemory
from maskstore.errors import (
    ArchiveNotFound,
    CorruptArchive,
    InvalidInput,
    NotAnArchive,
    UnsupportedVersion,
)
from maskstore.storage import hdf5
from maskstore.storage.atomic import write_file
from maskstore.storage.raw_file import FileDevice

VERSION = 1
MAGIC = b"SUPHOPFD"
_PROLOGUE = 512
_TEXT = 1024
_NUMBERS = struct.Struct("<8sIIQ")


def assemble(text: bytes, state: bytes) -> tuple[bytes, bytes]:
    """The file in two pieces: all before the state, and the state."""
    at = -(-(_TEXT + len(text)) // 8) * 8
    header = hdf5.dataset(hdf5.uint(1), 1, len(text), _TEXT)
    content = hdf5.dataset(hdf5.uint(1), 1, len(state), at)
    start = hdf5.SUPERBLOCK_BYTES
    places = [("header", start), ("state", start + len(header))]
    root = hdf5.group(places, [("format", "supsup-hopfield"), ("version", str(VERSION))])
    head = hdf5.superblock(start + len(header) + len(content), at + len(state))
    view = (head + header + content + root).ljust(_PROLOGUE, b"\0")
    assert len(view) == _PROLOGUE
    numbers = _NUMBERS.pack(MAGIC, VERSION, len(text), len(state))
    digest = hashlib.sha256(text)
    digest.update(state)
    prologue = (numbers + digest.digest()).ljust(_TEXT - _PROLOGUE, b"\0")
    return (view + prologue + text).ljust(at, b"\0"), state


def parts_of(data: bytes, label: str) -> tuple[bytes, bytes]:
    """(text, state) of a whole file.

    Raises:
        NotAnArchive: another kind of file.
        UnsupportedVersion: of another version.
        CorruptArchive: truncated or altered.
    """
    if not data.startswith(hdf5.SIGNATURE) or data[_PROLOGUE : _PROLOGUE + 8] != MAGIC:
        raise NotAnArchive(f"{label}: not a Hopfield memory; `supsup-store encode` makes one")
    if len(data) < _TEXT:
        raise CorruptArchive(f"{label}: truncated: {len(data)} bytes of at least {_TEXT}")
    _, version, text_bytes, state_bytes = _NUMBERS.unpack_from(data, _PROLOGUE)
    if version != VERSION:
        raise UnsupportedVersion(
            f"{label}: Hopfield memory of version {version}, this release knows {VERSION}"
        )
    at = -(-(_TEXT + text_bytes) // 8) * 8
    if len(data) != at + state_bytes:
        raise CorruptArchive(
            f"{label}: expected {at + state_bytes} bytes, found {len(data)}: truncated or altered"
        )
    text, state = data[_TEXT : _TEXT + text_bytes], data[at:]
    if assemble(text, state)[0] != data[:at]:
        raise CorruptArchive(f"{label}: the memory fails its checksum: truncated or altered")
    return text, state


_DTYPES = ("|u1", "<u2", "<u4", "<i4", "<f4")
_PLAIN_BYTES = 256 << 20
_MOST_TIMES = 1000


def save_memory(path: str | Path, memory: HopfieldMemory, recipe: dict[str, Any]) -> int:
    """Write a memory, whole or not at all; returns the bytes of the file (docs/hopfield.md).

    Args:
        recipe: JSON to keep with it: layout and backbone, so that it stands alone.

    Raises:
        InvalidInput: the recipe is not JSON.
        ArchiveWriteError: the system refuses.

    >>> from hopfield import new_memory
    >>> memory = new_memory("modern", 8)
    >>> memory.encode(np.int8([1, -1] * 4))
    >>> save_memory("memory.h5", memory, {"note": "any JSON"}) > 1024
    True
    >>> again, recipe = load_memory("memory.h5")
    >>> again.rule, again.count, recipe
    ('modern', 1, {'note': 'any JSON'})
    """
    path, arrays = Path(path), memory.state()
    raw = b"".join(_planes(array) for array in arrays.values())
    state = zstandard.ZstdCompressor(level=9).compress(raw)
    fits = _memory_needed(memory.form, memory.size, arrays) <= _allowed(len(state))
    header = {
        "rule": memory.rule,
        "form": memory.form,
        "size": memory.size,
        "count": memory.count,
        "compression": "zstd" if fits else "none",
        "arrays": [
            [name, array.dtype.newbyteorder("<").str, list(array.shape)]
            for name, array in arrays.items()
        ],
        "recipe": recipe,
    }
    try:
        text = json.dumps(header, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: the recipe must be JSON ({error})") from error
    pieces = assemble(text, state if fits else raw)
    return write_file(path, pieces, action="write the memory")


def load_memory(path: str | Path) -> tuple[HopfieldMemory, dict[str, Any]]:
    """(memory, recipe) of a file. A file makes at most 256 MiB and a thousand times its length.

    Raises:
        ArchiveNotFound, NotAnArchive: no file, or another kind of file.
        UnsupportedVersion: a version, rule or form that this release does not know.
        CorruptArchive: truncated or altered.
    """
    path = Path(path)
    if not path.is_file():
        raise ArchiveNotFound(f"{path}: no memory file there; make one with `supsup-store encode`")
    device = FileDevice(path, mode="r")
    try:
        text, state = parts_of(device.read(0, device.size()), str(path))
    finally:
        device.close()
    try:
        header = json.loads(text)
        rule, form, size, count = (header[key] for key in ("rule", "form", "size", "count"))
        if form not in FORMS or rule not in RULES:
            raise UnsupportedVersion(
                f"{path}: rule {rule!r}, form {form!r}; this release knows the rules "
                f"{', '.join(RULES)} and the forms {', '.join(FORMS)}"
            )
        if not all(type(each) is int and 0 <= each < 2**31 for each in (size, count)):
            raise CorruptArchive(f"{path}: size {size!r} and count {count!r} are no numbers")
        arrays = _arrays(header["arrays"], _raw(header["compression"], state), str(path))
        if _memory_needed(form, size, arrays) > _allowed(len(state)):
            raise CorruptArchive(f"{path}: {size} units are more than a file of its length has")
        memory = FORMS[form][rule].from_state(size, count, arrays)
        if (memory.rule, memory.size, memory.count) != (rule, size, count):
            raise CorruptArchive(f"{path}: the memory is not of the rule {rule!r} it declares")
        recipe = dict(header["recipe"])
    except (KeyError, TypeError, ValueError, RecursionError, zstandard.ZstdError) as error:
        raise CorruptArchive(f"{path}: the memory cannot be read ({error})") from error
    return memory, recipe


def _planes(array: np.ndarray) -> bytes:
    """The array, little-endian: first bytes of all items, then second bytes, and so on.

    Signs and exponents of neighbours are alike, their last digits are not.
    """
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()


def _arrays(declared: Any, raw: bytes, label: str) -> dict[str, np.ndarray]:
    arrays, start = {}, 0
    for name, kind, shape in declared:
        if (
            type(name) is not str
            or kind not in _DTYPES
            or not all(type(n) is int and n >= 0 for n in shape)
        ):
            raise CorruptArchive(f"{label}: array {name!r} of type {kind!r} and shape {shape!r}")
        dtype = np.dtype(kind)
        length = math.prod(shape) * dtype.itemsize
        planes = np.frombuffer(raw[start : start + length], np.uint8)
        items = np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T)
        arrays[name] = items.view(dtype).astype(dtype.newbyteorder("=")).reshape(shape)
        start += length
    if start != len(raw):
        raise CorruptArchive(f"{label}: expected {start} bytes of arrays, found {len(raw)}")
    return arrays


def _raw(compression: Any, state: bytes) -> bytes:
    if compression == "none":
        return state
    if compression != "zstd":
        raise ValueError(f"compression {compression!r}")
    declared = zstandard.frame_content_size(state)
    if not 0 <= declared <= _allowed(len(state)):
        raise ValueError(f"{declared} bytes declared in {len(state)}")
    return zstandard.ZstdDecompressor().decompress(state)


def _allowed(stored: int) -> int:
    return _PLAIN_BYTES + _MOST_TIMES * stored


def _memory_needed(form: str, size: int, arrays: dict[str, np.ndarray]) -> int:
    """Bytes that loading takes for the arrays and, but for packed patterns, their matrices."""
    raw = sum(array.nbytes for array in arrays.values())
    sizes = arrays["sizes"].tolist() if form == "blocks" else [size]
    return raw if form == "packed" else raw + sum(4 * units * units for units in sizes)
