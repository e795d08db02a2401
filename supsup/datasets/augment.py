"""The views of pictures that training and testing see: how stored pictures become inputs.

CropFlip is the standard augmentation of CIFAR, ResizedCropFlip that of ImageNet.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

Pictures = UInt8[Tensor, "b channel height width"]
Views = Float32[Tensor, "b channel high wide"]


class Augment(ABC):
    """Makes views of pictures, on the device where they are. Views keep the pictures' 0 to 255."""

    @abstractmethod
    def side(self, side: int) -> int:
        """Height and width of the views of square pictures of that side."""

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Random numbers for one picture."""

    @abstractmethod
    def train(self, pictures: Pictures, numbers: Float32[Tensor, "b number"]) -> Views:
        """A random view of each; ``numbers`` are evenly spread over [0, 1)."""

    @abstractmethod
    def test(self, pictures: Pictures) -> Views:
        """The view of each that is tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropFlip(Augment):
    """A crop of the old size out of the picture within a black margin; half of them mirrored.

    Attributes:
        margin: pixels at each edge.
    """

    margin: int = 4

    def side(self, side: int) -> int:
        """The old one."""
        return side

    @property
    def numbers(self) -> int:
        """Down, right, mirror."""
        return 3

    def train(
        self,
        pictures: UInt8[Tensor, "b channel height width"],
        numbers: Float32[Tensor, "b number"],
    ) -> Float32[Tensor, "b channel height width"]:
        """Shifted by -margin to margin pixels each way, every shift as likely."""
        height, width = pictures.shape[2:]
        device = pictures.device
        wide = F.pad(pictures, (self.margin,) * 4)
        shift = (numbers[:, :2] * (2 * self.margin + 1)).long()
        column = torch.arange(width, dtype=torch.int64, device=device).expand(len(pictures), width)
        column = torch.where(numbers[:, 2:3] < 0.5, column.flip(1), column)
        rows = shift[:, :1] + torch.arange(height, dtype=torch.int64, device=device)
        columns = shift[:, 1:2] + column
        image = torch.arange(len(pictures), dtype=torch.int64, device=device)
        # Indices beside a slice put the channels last; they go back to their place.
        views = wide[image[:, None, None], :, rows[:, :, None], columns[:, None]]
        return views.movedim(3, 1).float()

    def test(
        self, pictures: UInt8[Tensor, "b channel height width"]
    ) -> Float32[Tensor, "b channel height width"]:
        """As they are."""
        return pictures.float()


_AREA = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedCropFlip(Augment):
    """A random part of the picture, scaled to ``size``; half of them mirrored (Szegedy et al.,
    2014: 8% to 100% of the area, between 3:4 and 4:3). Tests see the middle.

    Attributes:
        size: height and width of the views; at most that of the pictures.
    """

    size: int

    def side(self, side: int) -> int:
        """``size``."""
        return self.size

    @property
    def numbers(self) -> int:
        """Area and ratio of every try, then down, right, mirror."""
        return 2 * _TRIES + 3

    def train(
        self,
        pictures: UInt8[Tensor, "b channel height width"],
        numbers: Float32[Tensor, "b number"],
    ) -> Float32[Tensor, "b channel size size"]:
        """Sampled bilinearly; a try that is longer than the picture is drawn again, ten at most."""
        area = _between(numbers[:, :_TRIES], *_AREA)
        ratio = _between(numbers[:, _TRIES : 2 * _TRIES], *map(math.log, _RATIO)).exp()
        # Shares of the picture's height and width, which are one.
        high, wide = (area / ratio).sqrt(), (area * ratio).sqrt()
        fits = (high <= 1) & (wide <= 1)
        chosen = fits.int().argmax(1, keepdim=True)
        high = high.gather(1, chosen).clamp(max=1)
        wide = wide.gather(1, chosen).clamp(max=1)
        down, right, mirror = numbers[:, 2 * _TRIES :].split(1, 1)
        # grid_sample's coordinates: the picture's edges are -1 and 1.
        steps = torch.arange(self.size, dtype=torch.float32, device=pictures.device)
        steps = (2 * steps + 1) / self.size - 1
        y = (1 - high) * (2 * down - 1) + high * steps
        x = (1 - wide) * (2 * right - 1) + wide * torch.where(mirror < 0.5, -steps, steps)
        shape = (len(pictures), self.size, self.size)
        grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], 3)
        return F.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)

    def test(
        self, pictures: UInt8[Tensor, "b channel height width"]
    ) -> Float32[Tensor, "b channel size size"]:
        """The square in the middle."""
        top, left = ((length - self.size) // 2 for length in pictures.shape[2:])
        return pictures[:, :, top : top + self.size, left : left + self.size].float()


def _between(numbers: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * numbers
