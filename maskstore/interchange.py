"""Masks in and out of ``.npz`` and ``.safetensors`` files: layer name → boolean array.

Tensors of the task stand beside them under ``tensors/NAME``; bfloat16 is read from ``.safetensors``
and written as float32.
"""

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors
from jaxtyping import Bool, Shaped
from safetensors.numpy import save

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file, read_npy_header, read_npz, require_size
from maskstore.layout import MAX_BITS, MaskLayout
from maskstore.storage.atomic import require_free, write_file
from maskstore.tensors import BFloat16, TensorValue

SUFFIXES = (".npz", ".safetensors")
PREFIX = "tensors/"
"""What the key of a tensor begins with, unless the layout has a layer of that name."""

_SLACK_BYTES = 1 << 20
"""Names, shapes and padding of a file."""
_MOST_HEADER_BYTES = 100_000_000
_FREE_BYTES = 1 << 26
_MAX_RATIO = 100
"""How far tensors in an ``.npz`` may expand, beyond what is free: only constants go further."""
_DTYPES = {
    "BOOL": "?",
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
}


def load_task(
    path: str | PathLike[str], layout: MaskLayout
) -> tuple[dict[str, np.ndarray], dict[str, TensorValue]]:
    """(mask, tensors) in a file. Names, shapes and types are checked when they are added.

    Raises:
        InvalidInput: no such file, another format, a layer that is not boolean, or far larger than
            a mask of this layout.
    """
    # A boolean is stored as one byte.
    return _load(Path(path), layout.bits, set(layout.shapes))


def layout_of(path: str | PathLike[str]) -> MaskLayout:
    """The layout of the mask in a file; raises InvalidInput as :func:`load_task`."""
    masks, _ = _load(Path(path), MAX_BITS, set())
    return MaskLayout({name: mask.shape for name, mask in masks.items()})


def _load(
    path: Path, mask_bytes: int, layers: set[str]
) -> tuple[dict[str, np.ndarray], dict[str, TensorValue]]:
    _require_suffix(path)
    is_npz = path.suffix == ".npz"

    def is_tensor(key: str) -> bool:
        return key.startswith(PREFIX) and key not in layers

    with foreign_file(path, f"{path.suffix} file of arrays") as file:
        listed = list(_npz_members(file) if is_npz else _safetensors_members(file))
        for key, dtype, _ in listed:
            if not is_tensor(key) and dtype not in ("bool", "BOOL"):
                raise InvalidInput(
                    f"{path}: layer {key!r}: expected dtype bool, got {dtype}; convert with "
                    "`array != 0` if its values are 0 and 1"
                )
        largest = mask_bytes + _SLACK_BYTES
        require_size(path, sum(n for key, _, n in listed if not is_tensor(key)), largest)
        tensor_bytes = sum(n for key, _, n in listed if is_tensor(key))
        file_bytes = os.fstat(file.fileno()).st_size
        require_size(path, tensor_bytes, _FREE_BYTES + _MAX_RATIO * file_bytes)
        file.seek(0)
        found: Mapping[str, TensorValue] = (
            read_npz(path, file, largest=largest + tensor_bytes)
            if is_npz
            else dict(_read_safetensors(file.read()))
        )
    masks, tensors = {}, {}
    for key, value in found.items():
        if is_tensor(key):
            tensors[key.removeprefix(PREFIX)] = value
        else:
            masks[key] = np.asarray(value)
    return masks, tensors


def _npz_members(file: BinaryIO) -> Iterator[tuple[str, str, int]]:
    """(name, type, bytes) of every array, of which nothing but the headers is read."""
    with zipfile.ZipFile(file) as members:
        for each in members.infolist():
            with members.open(each) as member:
                *_, dtype = read_npy_header(member)
            yield each.filename.removesuffix(".npy"), str(dtype), each.file_size


def _safetensors_members(file: BinaryIO) -> Iterator[tuple[str, str, int]]:
    header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > _MOST_HEADER_BYTES:
        raise ValueError(f"a header of {header_bytes} bytes")
    header = json.loads(file.read(header_bytes))
    for key, each in header.items():
        if key != "__metadata__":
            begin, end = each["data_offsets"]
            yield key, each["dtype"], int(end) - int(begin)


def _read_safetensors(content: bytes) -> Iterator[tuple[str, TensorValue]]:
    for key, view in safetensors.deserialize(content):
        kind, data, shape = view["dtype"], view["data"], view["shape"]
        if kind == "BF16":
            high = np.frombuffer(data, "<u2").reshape(shape).astype(np.uint32)
            yield key, BFloat16((high << 16).view(np.float32))
        elif kind not in _DTYPES:
            raise ValueError(f"{key!r} is of type {kind}, can be {', '.join(_DTYPES)} or BF16")
        else:
            dtype = _DTYPES[kind]
            yield key, np.frombuffer(data, dtype).reshape(shape).copy()


def require_mask_file(path: Path, *, overwrite: bool) -> None:
    """Raise as :func:`save_masks` would, or ArchiveExists where a file is there that must stay."""
    _require_suffix(path)
    require_free(path, overwrite=overwrite)


def save_masks(
    path: str | PathLike[str],
    masks: Mapping[str, Bool[np.ndarray, "..."]],
    tensors: Mapping[str, Shaped[np.ndarray, "..."]] | None = None,
) -> None:
    """Write a mask, and tensors beside it, to a new file or over an old one, whole or not at all.

    Raises:
        InvalidInput: the name ends neither in ``.npz`` nor in ``.safetensors``, or a tensor would
            have the key of a layer.
        ArchiveWriteError: the system refuses.
    """
    path = Path(path)
    _require_suffix(path)
    arrays = {PREFIX + name: array for name, array in (tensors or {}).items()}
    taken = sorted(arrays.keys() & masks.keys())
    if taken:
        raise InvalidInput(f"{path}: {taken[0]!r} would be a layer and a tensor; read it in Python")
    arrays = {name: np.asarray(each, order="C") for name, each in {**masks, **arrays}.items()}
    if path.suffix == ".npz":
        write_file(path, lambda file: _write_npz(file, arrays))
    else:
        write_file(path, save(arrays))


def _write_npz(file: BinaryIO, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
    # Not np.savez: it reads a layer named "file" as its own argument of that name.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        for name, array in arrays.items():
            # A layer of 2³² weights takes four gigabytes, more than members of old .zip files have.
            with members.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _require_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise InvalidInput(
            f"{path}: expected a file that ends in {' or '.join(SUFFIXES)}, "
            f"got {path.suffix or 'no ending'!r}"
        )
