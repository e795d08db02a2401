"""CropFlip: the standard augmentation of CIFAR."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from supsup.data.augment.base import Augment


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
        column = torch.arange(width, device=device).expand(len(pictures), width)
        column = torch.where(numbers[:, 2:3] < 0.5, column.flip(1), column)
        rows = shift[:, :1] + torch.arange(height, device=device)
        columns = shift[:, 1:2] + column
        image = torch.arange(len(pictures), device=device)
        # Indices beside a slice put the channels last; they go back to their place.
        views = wide[image[:, None, None], :, rows[:, :, None], columns[:, None]]
        return views.movedim(3, 1).float()

    def test(
        self, pictures: UInt8[Tensor, "b channel height width"]
    ) -> Float32[Tensor, "b channel height width"]:
        """As they are."""
        return pictures.float()
