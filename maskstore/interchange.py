"""Masks in and out of ``.npz`` and ``.safetensors`` files: layer name → boolean array."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool
from safetensors.numpy import load, save

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file, read_npz
from maskstore.layout import MAX_BITS, MaskLayout
from maskstore.storage.atomic import require_free, write_file

SUFFIXES = (".npz", ".safetensors")


def load_masks(path: Path, layout: MaskLayout) -> dict[str, np.ndarray]:
    """The arrays of a mask file. Names, shapes and dtypes are checked when they are added.

    Raises:
        InvalidInput: no such file, another format, or far larger than a mask of this layout.
    """
    # A boolean is stored as one byte; the rest is names, shapes and padding.
    return _load(path, layout.bits + (1 << 20))


def layout_of(path: Path) -> MaskLayout:
    """The layout of the mask in a file.

    Raises:
        InvalidInput: as :func:`load_masks`, or an array that is not boolean.
    """
    masks = _load(path, MAX_BITS)
    for name, mask in masks.items():
        if mask.dtype != np.bool_:
            raise InvalidInput(f"{path}: layer {name!r}: expected dtype bool, got {mask.dtype}")
    return MaskLayout({name: mask.shape for name, mask in masks.items()})


def _load(path: Path, largest: int) -> dict[str, np.ndarray]:
    _require_suffix(path)
    with foreign_file(path, f"{path.suffix} file of boolean arrays", largest=largest) as file:
        if path.suffix == ".npz":
            return read_npz(path, file, largest=largest)
        return dict(load(file.read()))


def require_mask_file(path: Path, *, overwrite: bool) -> None:
    """Raise as :func:`save_masks` would, or ArchiveExists where a file is there that must stay."""
    _require_suffix(path)
    require_free(path, overwrite=overwrite)


def save_masks(path: Path, masks: Mapping[str, Bool[np.ndarray, "..."]]) -> None:
    """Write a mask to a new file or over an old one, whole or not at all.

    Raises:
        InvalidInput: the name ends neither in ``.npz`` nor in ``.safetensors``.
        ArchiveWriteError: the system refuses.
    """
    _require_suffix(path)
    if path.suffix == ".npz":
        write_file(path, lambda file: _write_npz(file, masks))
    else:
        write_file(path, save({name: np.ascontiguousarray(mask) for name, mask in masks.items()}))


def _write_npz(file: BinaryIO, masks: Mapping[str, Bool[np.ndarray, "..."]]) -> None:
    # Not np.savez: it reads a layer named "file" as its own argument of that name.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        for name, mask in masks.items():
            with members.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, mask, allow_pickle=False)


def _require_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise InvalidInput(
            f"{path}: expected a file that ends in {' or '.join(SUFFIXES)}, "
            f"got {path.suffix or 'no ending'!r}"
        )
