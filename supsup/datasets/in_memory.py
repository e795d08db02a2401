"""Dataset: labelled images in memory, made by hand or loaded by name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.datasets.augment import Augment
from supsup.datasets.base import ImageSet, Levels, Part
from supsup.datasets.catalog import (
    ArraySource,
    CifarSource,
    FolderSource,
    IdxSource,
    find_source,
)
from supsup.datasets.cifar import read_cifar
from supsup.datasets.idx_files import read_files
from supsup.datasets.image_folder import find_class_folders
from supsup.datasets.thumbnails import COUNT, row_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Dataset(ImageSet):
    """Images and labels in memory, all on one device and never changed.

    Attributes:
        name: what recipes call it.
        classes: number of classes; labels are 0 … classes-1.
        train_images, test_images: 0 to 255; grey, (n, height, width), or with channels, (n,
            channel, height, width).
        mean, std: of the training pixels scaled to [0, 1]; tasks normalise with them. One number,
            or one for each channel.
        augment: the views of images with channels; None where they are taken as they are.
        class_names: what classes are called, to be kept with masks; None where a recipe tells.

    Raises:
        InvalidInput: wrong dtype or shape, image and label counts differ, labels out of range.
    """

    name: str
    classes: int
    train_images: UInt8[Tensor, "train *channel height width"]
    train_labels: Int64[Tensor, " train"]
    test_images: UInt8[Tensor, "test *channel height width"]
    test_labels: Int64[Tensor, " test"]
    mean: Levels
    std: Levels
    augment: Augment | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self._check("train", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)
        self._check_levels()
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise InvalidInput(
                f"{self.name}: train images are {tuple(self.train_images.shape[1:])} pixels, "
                f"test images {tuple(self.test_images.shape[1:])}; expected one size"
            )

    def _repr_html_(self) -> str:
        """What a notebook shows: the line of ``repr``, and an image of some classes."""
        labels = self.train_labels
        first = [
            int((labels == each).nonzero()[0])
            for each in range(min(COUNT, self.classes))
            if (labels == each).any()
        ]
        return ImageSet._repr_html_(self) + row_of(self.train_images[first])

    def _images(self) -> str:
        return f"{len(self.train_labels):,} training and {len(self.test_labels):,} test images"

    def _check(self, part: str, images: Tensor, labels: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim not in (3, 4):
            raise InvalidInput(
                f"{self.name}: expected {part} images as uint8 of shape (n, height, width) or "
                f"(n, channel, height, width), got {images.dtype} of shape {tuple(images.shape)}"
            )
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise InvalidInput(
                f"{self.name}: expected {part} labels as int64 of shape (n,), "
                f"got {labels.dtype} of shape {tuple(labels.shape)}"
            )
        if len(images) != len(labels) or not len(images):
            raise InvalidInput(
                f"{self.name}: expected one label per {part} image and at least one, "
                f"got {len(images)} images and {len(labels)} labels"
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.classes:
            raise InvalidInput(
                f"{self.name}: expected {part} labels from 0 to {self.classes - 1}, "
                f"found {low if low < 0 else high}"
            )

    def _check_levels(self) -> None:
        channels = 1 if self.train_images.ndim == 3 else self.train_images.shape[1]
        for name, levels in (("mean", self.mean), ("std", self.std)):
            if isinstance(levels, tuple) and (
                len(levels) != channels or self.train_images.ndim == 3
            ):
                raise InvalidInput(
                    f"{self.name}: expected a pixel {name} for each of {channels} channels, or "
                    f"one for all, got {levels}"
                )
        if not all(x > 0 for x in (self.std if isinstance(self.std, tuple) else (self.std,))):
            raise InvalidInput(f"{self.name}: expected a pixel std above 0, got {self.std}")
        if self.augment is not None and self.train_images.ndim == 3:
            raise InvalidInput(
                f"{self.name}: only images with channels are augmented, (n, channel, height, "
                f"width), got shape {tuple(self.train_images.shape)}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        height, width = self.train_images.shape[-2:]
        return height, width

    @property
    def device(self) -> torch.device:
        """Where images and labels are."""
        return self.train_labels.device

    def select(self, part: Part, classes: Sequence[int]) -> tuple[Tensor, Int64[Tensor, " n"]]:
        """Images and labels of some classes; shared, not copied, if those are all in order."""
        if part == "train":
            images, labels = self.train_images, self.train_labels
        else:
            images, labels = self.test_images, self.test_labels
        if list(classes) == list(range(self.classes)):
            return images, labels
        label_of = torch.full((self.classes,), -1, dtype=torch.int64, device="cpu")
        label_of[list(classes)] = torch.arange(len(classes), dtype=torch.int64, device="cpu")
        new = label_of.to(labels.device)[labels]
        where = new >= 0
        return images[where], new[where]

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on another device; tasks made from it live there too."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )


def load(
    name: str, data_dir: str | os.PathLike[str] | None = None, *, quiet: bool = False
) -> ImageSet:
    """A known data set, from the first folder that holds its files, downloaded if none does.

    Files are looked for in ``data_dir``, then in the folder that the environment variable
    ``SUPSUP_DATA`` names, then in the user's cache folder; in the first two a sub-folder named
    after the data set comes before the folder itself. What no folder holds is downloaded into the
    cache, except ImageNet. Every file is checked against the digest that is known of it.

    - ``mnist``, ``fashion-mnist``: the four IDX files, gzipped or not.
    - ``mnist-sample``: 6,000 train and 1,500 test digits that come with the package.
    - ``cifar100``: the binary release, ``cifar-100-binary.tar.gz``, unpacked or not.
    - ``imagenet``: pictures in ``train/CLASS`` and ``val/CLASS``, 1,000 classes. They have no
      digests, and are read when a task first asks for them.

    Args:
        name: one of those.
        data_dir: folder of the files.
        quiet: no progress bar on stderr while downloading.

    Raises:
        InvalidInput: unknown name, ``data_dir`` is no folder, a file that is damaged or not the
            data set's, or a missing one that cannot be downloaded.

    >>> digits = load("mnist-sample")
    >>> digits.classes, digits.size
    (10, (28, 28))
    """
    match source := find_source(name):
        case IdxSource():
            arrays = read_files(source, data_dir, quiet=quiet)
        case CifarSource():
            arrays = read_cifar(source, data_dir, quiet=quiet)
        case ArraySource():
            arrays = list(source.read(None if data_dir is None else Path(data_dir)))
        case FolderSource():
            return find_class_folders(source, data_dir)
    train_images, train_labels, test_images, test_labels = map(torch.from_numpy, arrays)
    return Dataset(
        name=source.name,
        classes=source.classes,
        train_images=train_images,
        train_labels=train_labels.long(),
        test_images=test_images,
        test_labels=test_labels.long(),
        mean=source.mean,
        std=source.std,
        augment=source.augment,
    )
