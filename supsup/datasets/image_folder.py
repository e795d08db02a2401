"""ClassFolders: pictures in a folder for each class, such as ImageNet's."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.datasets.augment import Augment
from supsup.datasets.base import ImageSet, Levels, Part
from supsup.datasets.cache import search_folders
from supsup.datasets.catalog import FolderSource
from supsup.datasets.lazy_images import PICTURES, Pictures, is_picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ClassFolders(ImageSet):
    """Pictures that are listed, and then decoded, class by class as tasks ask for them.

    Attributes:
        name: what recipes call it.
        classes: number of classes.
        train, test: the folder of each class, in one order.
        side: height and width that pictures are scaled to, the square in their middle.
        mean, std: of each channel, scaled to [0, 1].
        augment: the views of the pictures.
        place: where tasks live.
    """

    name: str
    classes: int
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    side: int
    mean: Levels
    std: Levels
    augment: Augment | None
    place: torch.device

    @property
    def size(self) -> tuple[int, int]:
        """Square."""
        return self.side, self.side

    @property
    def device(self) -> torch.device:
        """Where tasks live; decoded pictures stay in main memory."""
        return self.place

    def to(self, device: torch.device | str) -> "ClassFolders":
        """The same pictures for tasks on another device."""
        return replace(self, place=torch.device(device))

    def select(self, part: Part, classes: Sequence[int]) -> tuple[Pictures, Int64[Tensor, " n"]]:
        """The pictures of some classes, class after class, each in order of their names.

        Raises:
            InvalidInput: a folder cannot be read.
        """
        folders = self.train if part == "train" else self.test
        files = [list_pictures(folders[number]) for number in classes]
        labels = torch.repeat_interleave(
            torch.tensor([len(each) for each in files], dtype=torch.int64, device="cpu")
        )
        paths = [file for each in files for file in each]
        return Pictures(paths, self.side, self.place), labels.to(self.place)


def find_class_folders(
    source: FolderSource, data_dir: str | os.PathLike[str] | None
) -> ClassFolders:
    """The class folders of a known data set; nothing of it is downloaded.

    They are looked for under ``train`` and ``val``, in the folders of :func:`search_folders`.
    A class's number is its place among the sorted names.

    Raises:
        InvalidInput: they are nowhere, or there are other classes than expected.
    """
    folders = search_folders(source, data_dir)
    for folder in folders:
        if (folder / "train").is_dir() and (folder / "val").is_dir():
            train, test = (_classes(folder / part, source) for part in ("train", "val"))
            break
    else:
        raise InvalidInput(
            f"{source.name}: no folders train and val in {', '.join(map(str, folders))}; it is not "
            f"downloaded: put the pictures of each class into {folders[0] / 'train'}/CLASS and "
            f"{folders[0] / 'val'}/CLASS"
        )
    if other := {each.name for each in train} ^ {each.name for each in test}:
        raise InvalidInput(
            f"{folder}: class {min(other)!r} is only in one of train and val; "
            "each class needs a folder in both"
        )
    return ClassFolders(
        name=source.name,
        classes=source.classes,
        train=train,
        test=test,
        side=source.side,
        mean=source.mean,
        std=source.std,
        augment=source.augment,
        place=torch.device("cpu"),
    )


def list_pictures(folder: Path) -> list[Path]:
    """The pictures right in a folder, in order of their names.

    Raises:
        InvalidInput: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if is_picture(entry.name))
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be read ({error.strerror or error})") from error
    return [folder / name for name in names]


def _classes(folder: Path, source: FolderSource) -> tuple[Path, ...]:
    found = sorted(each for each in folder.iterdir() if each.is_dir())
    if len(found) != source.classes:
        raise InvalidInput(
            f"{folder}: expected {source.classes} folders, one for each class of {source.name}, "
            f"found {len(found)}; pictures ({', '.join(PICTURES)}) belong into their class's folder"
        )
    return tuple(found)
