"""ImageSet: labelled images of many classes, from which tasks take theirs."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from maskstore.notebook import Shown
from supsup.datasets.augment import Augment
from supsup.datasets.lazy_images import Pictures

Part = Literal["train", "test"]
Images = Tensor | Pictures
Levels = float | tuple[float, ...]
"""One number, or one for each channel."""


class ImageSet(Shown):
    """What a task is made from.

    Attributes:
        name: what recipes call it.
        classes: number of classes; labels are 0 … classes-1.
        mean, std: of the training pixels scaled to [0, 1]; tasks normalise with them. For colour,
            one of each channel.
        augment: the views of the images; None where they are taken as they are.
        class_names: what the classes are called, to be kept with masks; None where recipes tell.
    """

    name: str
    classes: int
    mean: Levels
    std: Levels
    augment: Augment | None
    class_names: tuple[str, ...] | None = None

    def _shown(self) -> str:
        height, width = self.size
        pixels = f"{height} × {width} pixels"
        return f"{self.name!r}: {self.classes:,} classes, {self._images()} of {pixels}"

    def _images(self) -> str:
        """How many images there are, in words; a data set of a user's need not say."""
        return "images"

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width of an image as it is kept."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where tasks made from it live."""

    @abstractmethod
    def to(self, device: torch.device | str) -> "ImageSet":
        """The same data on another device."""

    @abstractmethod
    def select(self, part: Part, classes: Sequence[int]) -> tuple[Images, Int64[Tensor, " n"]]:
        """The images of some classes, and the labels: the first class is 0. They may be none."""


def levels_of(mean: Levels, std: Levels) -> tuple[float, float]:
    """What the darkest and the brightest byte become at least and at most."""
    scale, shift = scale_and_shift(mean, std, torch.device("cpu"))
    return float(shift.min()), float((255 * scale + shift).max())


def scale_and_shift(
    mean: Levels, std: Levels, device: torch.device
) -> tuple[Float32[Tensor, "*channel"], Float32[Tensor, "*channel"]]:
    """Bytes become inputs as ``scale · byte + shift``: 1 / (255 std) and -mean / std.

    For colour they have the shape (channel, 1, 1), to lie over (b, channel, height, width).
    """
    centre, width = (
        torch.tensor(levels, dtype=torch.float64, device="cpu") for levels in (mean, std)
    )
    pair = (1 / (255 * width), -centre / width)
    scale, shift = (x.float()[..., None, None] if x.ndim else x.float() for x in pair)
    return scale.to(device), shift.to(device)
