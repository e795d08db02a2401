"""Dataset: labelled images in memory, made by hand or loaded by name."""

import os
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.data.catalog import find_source
from supsup.data.files import read_files


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Images and labels, all on one device and never changed.

    Attributes:
        name: what recipes call it.
        classes: number of classes; labels are 0 … classes-1.
        train_images, test_images: grey images, 0 to 255.
        mean, std: of the training pixels scaled to [0, 1]; tasks normalise with them.

    Raises:
        InvalidInput: wrong dtype or shape, image and label counts differ, labels out of range.
    """

    name: str
    classes: int
    train_images: UInt8[Tensor, "train height width"]
    train_labels: Int64[Tensor, " train"]
    test_images: UInt8[Tensor, "test height width"]
    test_labels: Int64[Tensor, " test"]
    mean: float
    std: float

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise InvalidInput(f"{self.name}: expected a pixel std above 0, got {self.std}")
        self._check("train", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise InvalidInput(
                f"{self.name}: train images are {tuple(self.train_images.shape[1:])} pixels, "
                f"test images {tuple(self.test_images.shape[1:])}; expected one size"
            )

    def _check(self, part: str, images: Tensor, labels: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 3:
            raise InvalidInput(
                f"{self.name}: expected {part} images as uint8 of shape (n, height, width), "
                f"got {images.dtype} of shape {tuple(images.shape)}"
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
) -> Dataset:
    """A known data set, from the first folder that holds its files, downloaded if none does.

    Each file, gzipped or not, is looked for in ``data_dir``, then in the folder that the
    environment variable ``SUPSUP_DATA`` names, then in the user's cache folder; in the first two
    a sub-folder named after the data set comes before the folder itself. What no folder holds is
    downloaded into the cache. Every file is checked against the MD5 that the data set publishes.
    ``mnist-sample`` (6,000 train and 1,500 test digits) comes with the package.

    Args:
        name: ``mnist``, ``fashion-mnist`` or ``mnist-sample``.
        data_dir: folder of the standard files.
        quiet: no progress bar on stderr while downloading.

    Raises:
        InvalidInput: unknown name, ``data_dir`` is no folder, a file that is damaged or not the
            data set's, or a missing one that cannot be downloaded.
    """
    source = find_source(name)
    arrays = read_files(source, data_dir, quiet=quiet)
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
    )
