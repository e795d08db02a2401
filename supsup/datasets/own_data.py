"""A user's own images: class folders, a zip of them, or an ``.npz``, read, measured and named."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file, read_npz
from supsup.datasets.base import Levels
from supsup.datasets.in_memory import Dataset
from supsup.datasets.lazy_images import square
from supsup.datasets.own_pictures import DIGITS, LARGEST, OwnPart, read_pictures
from supsup.datasets.own_source import PREFIX, OwnSource


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnData:
    """Images and what is kept of them."""

    images: Dataset
    source: OwnSource


def read_own(
    path: str | os.PathLike[str], *, size: int | None = None, kept: OwnSource | None = None
) -> OwnData:
    """The images at a path, all in memory, with the statistics of their training pixels.

    Args:
        path: a folder or zip of ``train/CLASS/*`` and ``test/CLASS/*`` (or ``val``), or an ``.npz``
            of ``x_train, y_train, x_test, y_test`` (and ``classes``, their names): bytes of shape
            (n, height, width) or (n, height, width, 3). Folders are numbered by name.
        size: height and width that images are scaled to, the square in their middle; None where
            all have one size.
        kept: what an archive knows of the data: its name, size and statistics are taken.

    Raises:
        InvalidInput: no such data, classes that are only in one part, pictures of several sizes or
            that cannot be read, or more than :data:`LARGEST` bytes.
    """
    where = Path(path)
    if kept is not None:
        size = kept.side if kept.height == kept.width else None
    if where.is_dir() or where.suffix.lower() == ".zip":
        names, parts = read_pictures(where, size, known=kept is not None)
    elif where.suffix.lower() == ".npz":
        names, parts = _read_arrays(where, size)
    else:
        raise InvalidInput(
            f"{where}: expected a folder or a .zip of train/CLASS/* and test/CLASS/*, or an "
            ".npz of x_train, y_train, x_test, y_test; name it with --data"
        )
    train, test = parts
    if kept is None:
        mean, std = statistics_of(train.images, where)
        name = f"{PREFIX}{where.resolve().name.removesuffix(where.suffix) or 'data'}"
        family = name.removeprefix(PREFIX)
    else:
        mean, std, name, family = kept.mean, kept.std, kept.name, kept.family
    height, width = train.images.shape[-2:]
    source = OwnSource(
        name=name,
        family=family,
        classes=len(names),
        side=min(height, width),
        mean=mean,
        std=std,
        class_names=names,
        height=height,
        width=width,
        train_size=len(train.labels),
        test_size=len(test.labels),
        train=train.digest,
        test=test.digest,
    )
    if kept is not None and (train.images.ndim == 4) != isinstance(mean, tuple):
        raise InvalidInput(
            f"{where}: other data than the masks were trained on (channels: {kept.channels} and "
            f"{train.images.shape[1] if train.images.ndim == 4 else 1})"
        )
    images = Dataset(
        name=name,
        classes=len(names),
        train_images=torch.from_numpy(train.images),
        train_labels=torch.from_numpy(train.labels),
        test_images=torch.from_numpy(test.images),
        test_labels=torch.from_numpy(test.labels),
        mean=mean,
        std=std,
        class_names=names,
    )
    return OwnData(images=images, source=source)


def statistics_of(images: np.ndarray, where: Path) -> tuple[Levels, Levels]:
    """Mean and deviation of pixels scaled to [0, 1], of each channel, to four digits.

    Raises:
        InvalidInput: all pixels of a channel are the same.
    """
    channels = [images] if images.ndim == 3 else [images[:, at] for at in range(images.shape[1])]
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in channels:
        share = np.bincount(channel.ravel(), minlength=256) / channel.size
        mean = float(share @ levels)
        means.append(round(mean, 4))
        stds.append(round(float(np.sqrt(share @ (levels - mean) ** 2)), 4))
    if min(stds) <= 0:
        raise InvalidInput(f"{where}: all training pixels are the same; nothing is to be learnt")
    return (means[0], stds[0]) if images.ndim == 3 else (tuple(means), tuple(stds))


def _read_arrays(path: Path, size: int | None) -> tuple[tuple[str, ...], list[OwnPart]]:
    with foreign_file(path, ".npz file", largest=LARGEST) as file:
        arrays = read_npz(path, file, largest=LARGEST)
    wanted = ("x_train", "y_train", "x_test", "y_test")
    if missing := [name for name in wanted if name not in arrays]:
        raise InvalidInput(
            f"{path}: no array {missing[0]}; expected {', '.join(wanted)}, found "
            f"{', '.join(arrays) or 'none'}"
        )
    labels = [_labels(path, part, arrays[f"y_{part}"]) for part in ("train", "test")]
    classes = 1 + max(int(each.max()) for each in labels)
    names = tuple(str(each) for each in arrays.get("classes", np.arange(classes)).ravel())
    if len(names) < classes or len(set(names)) != len(names) or not all(names):
        raise InvalidInput(
            f"{path}: classes: expected {classes} different names, got {len(set(names))}"
        )
    parts = []
    for part, y in zip(("train", "test"), labels, strict=True):
        x = _images(path, part, arrays[f"x_{part}"])
        if len(x) != len(y):
            raise InvalidInput(f"{path}: {len(x)} {part} images and {len(y)} labels")
        digest = hashlib.sha256(f"{x.shape} {names}".encode())
        digest.update(np.ascontiguousarray(x).data)
        digest.update(y.astype("<i8").tobytes())
        if size is not None and x.shape[-2:] != (size, size):
            x = np.stack([_scaled(each, size) for each in x])
        parts.append(OwnPart(images=x, labels=y, digest=digest.hexdigest()[:DIGITS]))
    return names, parts


def _labels(path: Path, part: str, y: np.ndarray) -> Int64[np.ndarray, " n"]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind not in "iu" or y.ndim != 1 or not len(y) or int(y.min()) < 0:
        raise InvalidInput(
            f"{path}: y_{part}: expected whole numbers from 0 of shape (n,), got {y.dtype} of "
            f"shape {y.shape}"
        )
    return y.astype(np.int64)


def _images(path: Path, part: str, x: np.ndarray) -> UInt8[np.ndarray, "n *channel height width"]:
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim == 4 and x.shape[1] == 1:
        x = x[:, 0]
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[1] != 3):
        raise InvalidInput(
            f"{path}: x_{part}: expected bytes of shape (n, height, width) or (n, height, width, "
            f"3), got {x.dtype} of shape {x.shape}; other numbers are tasks in Python, TensorTask"
        )
    return np.ascontiguousarray(x)


def _scaled(pixels: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image  # where images are scaled, alone

    if pixels.ndim == 2:
        return np.asarray(square(Image.fromarray(pixels), size))
    return np.asarray(square(Image.fromarray(pixels.transpose(1, 2, 0)), size)).transpose(2, 0, 1)
