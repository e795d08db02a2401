"""The IDX format of MNIST: unsigned bytes of any shape, gzipped or not.

A file is two zero bytes, the type 0x08 (unsigned byte), the number of axes, one big-endian 32-bit
size per axis, and the bytes in row-major order; nothing follows. An array therefore has one
encoding only, and a digest of it names the file's content however the file was compressed.
"""

import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file

MAX_BYTES = 2**30
"""Most bytes in one array: far above any file this package knows, far below a full memory."""

_MAX_AXES = 4
_DEFLATE_RATIO = 1032
"""Deflate cannot expand its input further: 258 bytes from a 2-bit code."""
_CHUNK = 2**20


def read_idx(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "..."]:
    """The array of an IDX file; whether it is gzipped is seen from its content.

    Sizes are checked against the file before anything is allocated.

    Raises:
        InvalidInput: the file cannot be read, is not IDX of unsigned bytes, is shorter or longer
            than its header says, or is damaged gzip.
    """
    path = Path(path)
    with foreign_file(path, "IDX file") as file:
        size = os.fstat(file.fileno()).st_size
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not gzipped:
            return _read(file, path, size)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(stream, path, size * _DEFLATE_RATIO)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidInput(
                f"{path}: expected a whole gzip file, found a damaged one ({error}); fetch it again"
            ) from error


def _read(stream: io.BufferedIOBase, path: Path, capacity: int) -> UInt8[np.ndarray, "..."]:
    """Parse IDX from a stream that holds at most ``capacity`` bytes."""
    shape = _read_shape(stream, path)
    count = math.prod(shape)
    if count > min(capacity, MAX_BYTES):
        raise InvalidInput(
            f"{path}: its header promises {count} bytes (shape {shape}), more than the file can "
            f"hold ({capacity}) or this reader takes ({MAX_BYTES}); fetch the file again"
        )
    array = np.empty(shape, np.uint8)
    view = array.reshape(-1).data
    filled = 0
    while filled < count:
        block = stream.read(min(_CHUNK, count - filled))
        if not block:
            raise InvalidInput(
                f"{path}: truncated, expected {count} bytes of data (shape {shape}), "
                f"found {filled}; fetch the file again"
            )
        view[filled : filled + len(block)] = block
        filled += len(block)
    if stream.read(1):
        raise InvalidInput(
            f"{path}: expected {count} bytes of data (shape {shape}), found more; "
            "fetch the file again"
        )
    return array


def _read_shape(stream: io.BufferedIOBase, path: Path) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= _MAX_AXES:
        raise InvalidInput(
            f"{path}: not an IDX file of unsigned bytes, expected it to begin with 00 00 08 and "
            f"1 to {_MAX_AXES} axes, found {magic.hex(' ') or 'nothing'}"
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise InvalidInput(f"{path}: truncated inside its header; fetch the file again")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise InvalidInput(f"{path}: expected data, found an empty array of shape {shape}")
    return shape


def encode_idx(array: UInt8[np.ndarray, "..."]) -> bytes:
    """The content of the IDX file of an array, not gzipped."""
    return _header(array.shape) + array.tobytes()


def idx_md5(array: UInt8[np.ndarray, "..."]) -> str:
    """MD5 (hex) of the uncompressed IDX file of an array, which is what data sets publish."""
    digest = hashlib.md5(_header(array.shape), usedforsecurity=False)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
