"""Batches of tasks that differ only in where pixels go, made in one go."""

from collections.abc import Sequence

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from supsup.tasks.pixel_map import PixelMap
from supsup.tasks.task import Task


class JointBatches:
    """Tasks over the same grey images: one gather from the bytes, one for each tap of their maps.

    The numbers are those that each task makes by itself. Meant for GPUs, where a few large kernels
    take the place of some for each task.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Take tasks that :func:`can_join`."""
        first, maps = tasks[0], [task.pixels for task in tasks if task.pixels is not None]
        assert isinstance(first.train_images, Tensor)
        self._images, self._y = first.train_images.flatten(1), first.train_y
        self._index = torch.stack([pixels.index for pixels in maps], 1) if maps else None
        weights = [pixels.weight for pixels in maps if pixels.weight is not None]
        self._weight = torch.stack(weights, 1) if weights else None
        self._scale, self._shift = first.scale, first.shift

    def train_batch(
        self, indices: Int64[Tensor, "task b"]
    ) -> tuple[Float32[Tensor, "task b pixel"], Int64[Tensor, "task b"]]:
        """Inputs and labels of every task at its row of indices."""
        flat = indices.flatten()
        values = self._images.index_select(0, flat).view(*indices.shape, -1).float()
        if self._index is not None:
            taps = [values.gather(2, index.unsqueeze(1).expand_as(values)) for index in self._index]
            if self._weight is not None:
                for tap, weight in zip(taps, self._weight, strict=True):
                    tap.mul_(weight.unsqueeze(1))
            values = taps[0]
            for tap in taps[1:]:
                values += tap
        y = self._y.index_select(0, flat).view(indices.shape)
        return values.mul_(self._scale).add_(self._shift), y


def can_join(tasks: Sequence[object]) -> bool:
    """Whether tasks share grey images, labels and the kind of their pixel maps."""
    first = tasks[0]
    if not isinstance(first, Task) or not isinstance(first.train_images, Tensor):
        return False
    if first.augment is not None or first.train_images.ndim != 3:
        return False
    return all(
        isinstance(task, Task)
        and task.train_images is first.train_images
        and task.train_y is first.train_y
        and _kind(task.pixels) == _kind(first.pixels)
        for task in tasks
    )


def _kind(pixels: PixelMap | None) -> tuple[int, bool] | None:
    """How many taps, and whether they are weighted."""
    return None if pixels is None else (len(pixels.index), pixels.weight is not None)
