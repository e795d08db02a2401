"""Unlabelled images from files: ``.npy``, ``.npz``, IDX, or a folder of pictures."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Real, UInt8
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file, read_npy, read_npz, require_size
from supsup.datasets.base import levels_of, scale_and_shift
from supsup.datasets.catalog import Source, find_source
from supsup.datasets.idx import read_idx
from supsup.datasets.image_folder import list_pictures
from supsup.datasets.lazy_images import PICTURES, decode, open_picture
from supsup.datasets.own_pictures import bytes_of, pixels_of
from supsup.datasets.own_source import OwnSource
from supsup.datasets.pixels import Mode, plain_picture

LARGEST_INPUT = 2**30
"""Most bytes of unpacked images that are read at once: a compressed file of a megabyte may hold a
thousand times as much, and bytes take four times as much again as float32."""

_FAR = 10
"""Times the brightest normalised pixel that a float may be: bytes saved as floats are beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnlabelledImages:
    """Images as the networks of a data set take them, normalised.

    Attributes:
        images: of a grey data set rows of pixels, of one in colour (image, 3, height, width);
            integers where a user's own masks were trained on such.
        files: the name of each image's file; None where they come from one array.
        note: what was taken for granted of their numbers; empty where nothing was.
    """

    images: Real[Tensor, "image *shape"]
    files: tuple[str, ...] | None = None
    note: str = ""


def read_images(path: Path, dataset: str, *, largest: int = LARGEST_INPUT) -> UnlabelledImages:
    """Images in a file or a folder.

    Args:
        path: bytes (0 to 255) are normalised with the data set's mean and std, as in training, and
            so are floats from 0 to 1, which PyTorch's transforms make of bytes; other floats are
            taken as normalised. An ``.npz`` must hold one array. Images in colour may have
            the channels first or last. Pictures are read in the order of the numbers in their
            names (2 before 10), as grey where the data set is; in colour, the square in the middle
            is scaled to the data set's size.
        dataset: the data set that the masks were trained on.
        largest: bytes that the images may take once unpacked.

    Raises:
        InvalidInput: no such file, not images, an empty file, images of other sizes, floats that
            are no normalised images, or more of them than ``largest``.
    """
    source = find_source(dataset)
    in_colour = isinstance(source.mean, tuple)
    files = None
    if os.path.isdir(path):
        files, images = _read_pictures(path, source.side if in_colour else None, largest)
    else:
        images = _read_array(path, largest)
    images = images.astype(images.dtype.newbyteorder("="), copy=False)
    if images.ndim < 2 or not images.size:
        raise InvalidInput(
            f"{path}: expected images, (n, height, width) or (n, features), "
            f"got an array of shape {images.shape}"
        )
    if images.dtype not in (np.uint8, np.float32, np.float64, np.float16):
        raise InvalidInput(
            f"{path}: expected pixels as uint8 (0 to 255) or float (normalised), got {images.dtype}"
        )
    images = _in_colour(images, path) if in_colour else images.reshape(len(images), -1)
    scale, shift = scale_and_shift(source.mean, source.std, torch.device("cpu"))
    note = ""
    if images.dtype != np.uint8 and images.min() >= 0 and images.max() <= 1:
        note = (
            f"{path}: numbers from 0 to 1 are taken for pixels, black to white, and normalised as "
            f"those of {dataset} were in training"
        )
        images = np.rint(255 * images.astype(np.float64)).astype(np.uint8)
    if images.dtype != np.uint8:
        _check_range(images, *levels_of(source.mean, source.std), path)
        return UnlabelledImages(images=torch.from_numpy(images.astype(np.float32)))
    values = _viewed(images, path, source) if in_colour else torch.from_numpy(images).float()
    return UnlabelledImages(images=values.mul_(scale).add_(shift), files=files, note=note)


def read_plain(
    path: Path, *, integers: bool = False, largest: int = LARGEST_INPUT
) -> UnlabelledImages:
    """Images of a user's own task, which are numbers as they were in training.

    Args:
        integers: whether these were integers, such as words.

    Raises:
        InvalidInput: no array of such numbers: nothing says how bytes or pictures became others.
    """
    numbers = "integers" if integers else "floats"
    if os.path.isdir(path):
        raise InvalidInput(
            f"{path}: the masks are of the user's own data, and how pictures became numbers is not "
            f"known; give an .npy or .npz of {numbers}, as in training"
        )
    images = _read_array(path, largest)
    if images.dtype.kind not in ("iu" if integers else "f") or images.ndim < 2 or not images.size:
        raise InvalidInput(
            f"{path}: expected {numbers} of shape (n, …), as the masks were trained on, got "
            f"{images.dtype} of shape {images.shape}"
        )
    bytes_too = np.uint8 if images.dtype == np.uint8 else np.int64
    kind = bytes_too if integers else np.float32
    return UnlabelledImages(images=torch.from_numpy(images.astype(kind)))


def read_own_images(
    path: Path, source: OwnSource, *, largest: int = LARGEST_INPUT
) -> UnlabelledImages:
    """Images as tasks of a user's own data were trained on them: pictures are scaled alike.

    Raises:
        InvalidInput: as :func:`read_images`, or images of another size.
    """
    colour, files = source.channels == 3, None
    if os.path.isdir(path):
        listed = _in_order(path)
        files = tuple(file.name for file in listed)
        require_size(path, len(listed) * source.channels * source.height * source.width, largest)
        size = source.side if source.height == source.width else None
        mode: Mode = "RGB" if colour else "L"
        images = np.stack([pixels_of(bytes_of(file), file, mode, size) for file in listed])
    else:
        images = _read_array(path, largest)
        images = _in_colour(images, path) if colour else images
    expected = (3, source.height, source.width) if colour else (source.height, source.width)
    if images.shape[1:] != expected or images.dtype.kind not in "uf" or not len(images):
        raise InvalidInput(
            f"{path}: expected images of {source.width}×{source.height} pixels as the masks were "
            f"trained on, bytes or normalised, got {images.dtype} of shape {images.shape}"
        )
    values = torch.from_numpy(images.astype(np.float32))
    values = values if colour else values.flatten(1)
    if images.dtype == np.uint8:
        scale, shift = scale_and_shift(source.mean, source.std, torch.device("cpu"))
        values = values.mul_(scale).add_(shift)
    return UnlabelledImages(images=values, files=files)


def load_inputs(
    path: Path, dataset: str, *, largest: int = LARGEST_INPUT
) -> Float32[Tensor, "image *shape"]:
    """The images alone of :func:`read_images`, which says more of them; raises as it does."""
    return read_images(path, dataset, largest=largest).images


def _check_range(images: np.ndarray, black: float, white: float, path: Path) -> None:
    low, high = float(images.min()), float(images.max())
    if max(-low, high) > _FAR * max(-black, white):
        raise InvalidInput(
            f"{path}: numbers from {low:g} to {high:g}, where normalised images go from "
            f"{black:.2f} to {white:.2f}; save bytes (uint8, 0 to 255), or normalise as in training"
        )


def _in_colour(images: np.ndarray, path: Path) -> np.ndarray:
    """Channels first."""
    if images.ndim == 4 and images.shape[1] == 3:
        return np.ascontiguousarray(images)
    if images.ndim == 4 and images.shape[3] == 3:
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    raise InvalidInput(
        f"{path}: expected images in colour, (n, 3, height, width) or (n, height, width, 3), "
        f"got an array of shape {images.shape}"
    )


def _viewed(
    images: UInt8[np.ndarray, "image 3 height width"], path: Path, source: Source
) -> Float32[Tensor, "image 3 side side"]:
    """The view that tests see; images that have its size are taken as they are."""
    assert source.augment is not None
    side = source.augment.side(source.side)
    pixels = torch.from_numpy(images)
    if pixels.shape[2:] == (side, side):
        return pixels.float()
    if pixels.shape[2:] == (source.side, source.side):
        return source.augment.test(pixels)
    raise InvalidInput(
        f"{path}: expected images of {side}×{side} pixels for {source.name}, "
        f"got {images.shape[2]}×{images.shape[3]}; a folder of pictures is scaled"
    )


def _read_array(path: Path, largest: int) -> np.ndarray:
    if path.suffix == ".npy":
        with foreign_file(path, ".npy file", largest=largest) as file:
            return read_npy(file, os.fstat(file.fileno()).st_size)
    if path.suffix == ".npz":
        with foreign_file(path, ".npz file", largest=largest) as file:
            arrays = read_npz(path, file, largest=largest)
            if len(arrays) != 1:
                raise InvalidInput(f"{path}: expected one array of images, found {len(arrays)}")
            return next(iter(arrays.values()))
    if path.suffix not in ("", ".gz") and "ubyte" not in path.name and "idx" not in path.name:
        raise InvalidInput(
            f"{path}: expected images as .npy, .npz or IDX, or a folder of pictures, got a file "
            f"that ends in {path.suffix!r}"
        )
    return read_idx(path)


def _read_pictures(
    folder: Path, colour_side: int | None, largest: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the files and their pixels, in the order of the numbers in the names."""
    files = _in_order(folder)
    names = tuple(file.name for file in files)
    if colour_side is not None:
        return names, np.stack([decode(file, colour_side) for file in files])
    pictures: list[np.ndarray] = []
    for file in files:
        with open_picture(file) as picture:
            require_size(folder, picture.width * picture.height * len(files), largest)
            pictures.append(np.asarray(plain_picture(picture, "L", file)))
        if pictures[-1].shape != pictures[0].shape:
            raise InvalidInput(
                f"{file}: {pictures[-1].shape} pixels, the first picture has {pictures[0].shape}; "
                "all must have one size"
            )
    return names, np.stack(pictures)


def _in_order(folder: Path) -> list[Path]:
    """The pictures in a folder, at least one, in the order of the numbers in their names."""
    files = sorted(list_pictures(folder), key=lambda file: natural_order(file.name))
    if not files:
        raise InvalidInput(f"{folder}: no pictures in the folder ({', '.join(PICTURES)})")
    return files


def natural_order(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts numbers in names by their size: ``2.png`` before ``10.png``."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), "") if at % 2 else (-1, part) for at, part in enumerate(parts))
