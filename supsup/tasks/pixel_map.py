"""PixelMap: new images whose pixels are weighted sums of old ones, many images at once."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelMap:
    """Output pixel p is ``Σ_t weight[t, p] · input[index[t, p]]``.

    One tap says any permutation, four say bilinear sampling. Unlike ``grid_sample``, each product
    and sum is a tensor operation of its own in a fixed order, so the bits are the same on every
    device; and the speed is the same (0.9 ms for 128 images of 28×28 on one core, both).

    Attributes:
        weight: None for one tap that only moves pixels: nothing is multiplied then.
    """

    index: Int64[Tensor, "tap pixel"]
    weight: Float32[Tensor, "tap pixel"] | None

    def __call__(self, images: Float32[Tensor, "b pixel"]) -> Float32[Tensor, "b pixel"]:
        """The images with mapped pixels."""
        out = images.index_select(1, self.index[0])
        if self.weight is None:
            return out
        out.mul_(self.weight[0])
        for index, weight in zip(self.index[1:], self.weight[1:], strict=True):
            out += images.index_select(1, index).mul_(weight)
        return out

    def to(self, device: torch.device | str) -> "PixelMap":
        """The same map on another device."""
        weight = None if self.weight is None else self.weight.to(device)
        return PixelMap(index=self.index.to(device), weight=weight)


def permute(order: Int64[np.ndarray, " pixel"]) -> PixelMap:
    """Output pixel p is input pixel ``order[p]``."""
    return PixelMap(index=torch.from_numpy(order[None].copy()), weight=None)


def rotate(degrees: float, height: int, width: int) -> PixelMap:
    """Rotation about the centre, counter-clockwise as seen, bilinear, black outside the image."""
    angle = math.radians(degrees)
    y, x = np.indices((height, width)).reshape(2, -1) - np.array(
        [[(height - 1) / 2], [(width - 1) / 2]]
    )
    # Rounded, so that quarter turns hit their pixels exactly instead of missing by 1e-15.
    from_y = (x * math.sin(angle) + y * math.cos(angle) + (height - 1) / 2).round(9)
    from_x = (x * math.cos(angle) - y * math.sin(angle) + (width - 1) / 2).round(9)
    top, left = np.floor(from_y).astype(np.int64), np.floor(from_x).astype(np.int64)
    down, right = from_y - top, from_x - left
    index, weight = [], []
    for row, share_y in ((top, 1 - down), (top + 1, down)):
        for column, share_x in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index.append(np.where(inside, row * width + column, 0))
            weight.append(np.where(inside, share_y * share_x, 0.0))
    return PixelMap(
        index=torch.from_numpy(np.stack(index)),
        weight=torch.from_numpy(np.stack(weight).astype(np.float32)),
    )


def rotate_nearest(degrees: float, height: int, width: int) -> PixelMap:
    """:func:`rotate` by nearest neighbour: pixel for pixel what Pillow's ``Image.rotate`` gives,
    which the paper's code uses by way of torchvision, as Pillow itself turns their numbers."""
    import PIL.Image  # 16 modules, for this rule alone

    numbers = np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)
    turned = np.array(PIL.Image.fromarray(numbers).rotate(degrees)).reshape(1, -1).astype(np.int64)
    inside = turned > 0  # 0 is what it leaves empty
    return PixelMap(
        index=torch.from_numpy(np.where(inside, turned - 1, 0)),
        weight=torch.from_numpy(inside.astype(np.float32)),
    )
