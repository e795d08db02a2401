"""Unlabelled images from files: ``.npy``, ``.npz``, IDX, or a folder of pictures."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.data.catalog import find_source
from supsup.data.idx import read_idx

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def load_inputs(path: Path, dataset: str) -> Float32[Tensor, "image feature"]:
    """Images as the networks of a data set take them: one row of normalised pixels each.

    Args:
        path: bytes (0 to 255) are normalised with the data set's mean and std, as in training;
            floats are taken as they are. An ``.npz`` must hold one array. Pictures are read in
            order of their names, as grey.
        dataset: the data set that the masks were trained on.

    Raises:
        InvalidInput: no such file, not images, an empty file, or pictures of different sizes.
    """
    images = _read(path)
    if images.ndim < 2 or not images.size:
        raise InvalidInput(
            f"{path}: expected images, (n, height, width) or (n, features), "
            f"got an array of shape {images.shape}"
        )
    rows = images.reshape(len(images), -1)
    if rows.dtype == np.uint8:
        source = find_source(dataset)
        scaled = torch.from_numpy(rows.astype(np.float32))
        return scaled.mul_(1 / (255 * source.std)).add_(-source.mean / source.std)
    if rows.dtype in (np.float32, np.float64, np.float16):
        return torch.from_numpy(rows.astype(np.float32))
    raise InvalidInput(
        f"{path}: expected pixels as uint8 (0 to 255) or float (normalised), got {rows.dtype}"
    )


def _read(path: Path) -> np.ndarray:
    try:
        if path.is_dir():
            return _read_pictures(path)
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


def _read_pictures(folder: Path) -> np.ndarray:
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() in PICTURES)
    if not files:
        raise InvalidInput(f"{folder}: no pictures in the folder ({', '.join(PICTURES)})")
    pictures = []
    for file in files:
        try:
            with Image.open(file) as picture:
                pictures.append(np.asarray(picture.convert("L")))
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise InvalidInput(f"{file}: not a readable picture ({error})") from error
        if pictures[-1].shape != pictures[0].shape:
            raise InvalidInput(
                f"{file}: {pictures[-1].shape} pixels, the first picture has {pictures[0].shape}; "
                "all must have one size"
            )
    return np.stack(pictures)
