"""ResizedCropFlip: the standard augmentation of ImageNet."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from supsup.data.augment.base import Augment

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
        steps = (2 * torch.arange(self.size, device=pictures.device) + 1) / self.size - 1
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
