"""Unlabelled images from files: ``.npy``, ``.npz``, IDX, or a folder of pictures."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.datasets.base import scale_and_shift
from supsup.datasets.catalog import Source, find_source
from supsup.datasets.idx import read_idx
from supsup.datasets.image_folder import list_pictures
from supsup.datasets.lazy_images import PICTURES, decode

_FAR = 10
"""Times the brightest normalised pixel that a float may be: bytes saved as floats are beyond it."""


def load_inputs(path: Path, dataset: str) -> Float32[Tensor, "image *shape"]:
    """Images as the networks of a data set take them, normalised.

    Of a grey data set they become rows of pixels, of one in colour (image, 3, height, width).

    Args:
        path: bytes (0 to 255) are normalised with the data set's mean and std, as in training;
            floats are taken as they are. An ``.npz`` must hold one array. Images in colour may have
            the channels first or last. Pictures are read in order of their names, as grey where the
            data set is; in colour, the square in the middle is scaled to the data set's size.
        dataset: the data set that the masks were trained on.

    Raises:
        InvalidInput: no such file, not images, an empty file, images of other sizes, or floats that
            are no normalised images.
    """
    source = find_source(dataset)
    in_colour = isinstance(source.mean, tuple)
    images = _read(path, source.side if in_colour else None)
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
    if images.dtype != np.uint8:
        _check_range(images, float(shift.min()), float((255 * scale + shift).max()), path)
        return torch.from_numpy(images.astype(np.float32))
    values = _viewed(images, path, source) if in_colour else torch.from_numpy(images).float()
    return values.mul_(scale).add_(shift)


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


def _read(path: Path, colour_side: int | None) -> np.ndarray:
    try:
        if path.is_dir():
            return _read_pictures(path, colour_side)
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                if len(arrays.files) != 1:
                    raise InvalidInput(
                        f"{path}: expected one array of images, found {len(arrays.files)}"
                    )
                return np.asarray(arrays[arrays.files[0]])
    except OSError as error:
        raise InvalidInput(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{path}: not a readable {path.suffix} file ({error})") from error
    return read_idx(path)


def _read_pictures(folder: Path, colour_side: int | None) -> np.ndarray:
    files = list_pictures(folder)
    if not files:
        raise InvalidInput(f"{folder}: no pictures in the folder ({', '.join(PICTURES)})")
    if colour_side is not None:
        return np.stack([decode(file, colour_side) for file in files])
    pictures = []
    for file in files:
        try:
            with Image.open(file) as picture:
                pictures.append(np.asarray(picture.convert("L")))
        except (OSError, Image.DecompressionBombError) as error:
            raise InvalidInput(f"{file}: not a readable picture ({error})") from error
        if pictures[-1].shape != pictures[0].shape:
            raise InvalidInput(
                f"{file}: {pictures[-1].shape} pixels, the first picture has {pictures[0].shape}; "
                "all must have one size"
            )
    return np.stack(pictures)
