"""A memory in a file of its own: HDF5, compressed, checked; no archive is needed to use it."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zstandard

from hopfield.rules import RULES, HopfieldMemory
from maskstore.device import sync_folder
from maskstore.errors import (
    ArchiveNotFound,
    ArchiveWriteError,
    CorruptArchive,
    InvalidInput,
    NotAnArchive,
    UnsupportedVersion,
)
from maskstore.files import draft_device

VERSION = 1
_MAX_EXPANSION = 1 << 33


def save_memory(path: Path, memory: HopfieldMemory, recipe: dict[str, Any]) -> int:
    """Write a memory, whole or not at all; returns the bytes of the file.

    The file has three datasets of bytes: ``header`` (JSON), ``state`` (the arrays one after
    another, one Zstandard frame) and ``sha256`` of header and state together.

    Args:
        recipe: JSON to keep with it: layout and backbone, so that it stands alone.

    Raises:
        InvalidInput: the recipe is not JSON.
        ArchiveWriteError: the system refuses.
    """
    arrays = memory.state()
    header = {
        "format": "supsup-hopfield",
        "version": VERSION,
        "rule": memory.rule,
        "size": memory.size,
        "count": memory.count,
        "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()],
        "recipe": recipe,
    }
    try:
        text = json.dumps(header, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: the recipe must be JSON ({error})") from error
    raw = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    state = zstandard.ZstdCompressor(level=9).compress(raw)
    draft = draft_device(path)
    draft.close()
    try:
        with h5py.File(draft.path, "w") as file:
            file["header"] = np.frombuffer(text, np.uint8)
            file["state"] = np.frombuffer(state, np.uint8)
            file["sha256"] = np.frombuffer(hashlib.sha256(text + state).digest(), np.uint8)
        with open(draft.path, "r+b") as written:
            os.fsync(written.fileno())
        draft.path.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ArchiveWriteError(f"{path}: cannot write the memory: {error}") from error
    finally:
        draft.path.unlink(missing_ok=True)
    return path.stat().st_size


def load_memory(path: Path) -> tuple[HopfieldMemory, dict[str, Any]]:
    """(memory, recipe) of a file.

    Raises:
        ArchiveNotFound, NotAnArchive: no file, or another kind of file.
        UnsupportedVersion: a version or rule that this release does not know.
        CorruptArchive: truncated or altered.
    """
    text, state, digest = _read(path)
    if hashlib.sha256(text + state).digest() != digest:
        raise CorruptArchive(f"{path}: the memory fails its checksum: truncated or altered")
    try:
        header = json.loads(text)
        if header["format"] != "supsup-hopfield":
            raise NotAnArchive(f"{path}: not a Hopfield memory")
        if header["version"] != VERSION or header["rule"] not in RULES:
            raise UnsupportedVersion(
                f"{path}: version {header['version']}, rule {header['rule']!r}; this release knows "
                f"version {VERSION} and the rules {', '.join(RULES)}"
            )
        shapes = [(name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in header["arrays"]]
        sizes = [dtype.itemsize * int(np.prod(shape)) for _, dtype, shape in shapes]
        declared = zstandard.frame_content_size(state)
        if declared != sum(sizes) or declared > _MAX_EXPANSION:
            raise CorruptArchive(f"{path}: the memory declares sizes that do not fit")
        raw = zstandard.ZstdDecompressor().decompress(state)
        arrays, at = {}, 0
        for (name, dtype, shape), size in zip(shapes, sizes, strict=True):
            arrays[name] = np.frombuffer(raw[at : at + size], dtype).reshape(shape)
            at += size
        memory = RULES[header["rule"]].from_state(header["size"], header["count"], arrays)
    except (KeyError, TypeError, ValueError, RecursionError, zstandard.ZstdError) as error:
        raise CorruptArchive(f"{path}: the memory cannot be read ({error})") from error
    return memory, header["recipe"]


def _read(path: Path) -> tuple[bytes, bytes, bytes]:
    if not path.is_file():
        raise ArchiveNotFound(f"{path}: no memory file there; make one with `encode`")
    try:
        with h5py.File(path, "r") as file:
            text, state, digest = (
                file[name][...].tobytes() for name in ("header", "state", "sha256")
            )
    except KeyError as error:
        raise NotAnArchive(f"{path}: not a Hopfield memory ({error})") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise CorruptArchive(f"{path}: not a readable memory file ({error})") from error
    return text, state, digest
