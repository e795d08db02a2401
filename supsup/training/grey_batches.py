"""Training batches of grey images on the processor, from bytes to what is not black in one pass."""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt32
from torch import Tensor

from supsup._lazy import compiled
from supsup.tasks.pixel_map import PixelMap
from supsup.tasks.protocol import TaskData
from supsup.tasks.task import Task
from supsup.training.sparse_batch import SparseBatch


class GreyBatches:
    """A task's own batches, number for number, as sparse ones where few pixels are not black.

    All inputs of a batch as floats are 0.4 MB, which the task writes four times, with PyTorch.
    """

    def __init__(self, task: Task, batch: int) -> None:
        """Take a task of which :func:`are_grey` is true."""
        assert isinstance(task.train_images, Tensor)
        self._task = task
        self._images = task.train_images.flatten(1).numpy()
        self._targets = _targets(task.pixels, self._images.shape[1])
        self._levels = np.float32(task.scale.item()), np.float32(task.shift.item())
        self._sparse = SparseBatch(batch, self._images.shape[1])
        self._sparse.commonest = self._levels[1]

    def train_batch(
        self, indices: Int64[Tensor, " b"]
    ) -> tuple[SparseBatch | Float32[Tensor, "b pixel"], Int64[Tensor, " b"]]:
        """Inputs and labels of training images, good until the next batch."""
        found = self._sparse
        fits = _index(
            self._images,
            indices.numpy(),
            *self._targets,
            *self._levels,
            found.most,
            found.starts,
            found.columns,
            found.values,
        )
        if not found.finish(fits):
            return self._task.train_batch(indices)
        return found, self._task.train_y.index_select(0, indices)


def are_grey(task: TaskData) -> bool:
    """Whether a task is this package's own, its images grey, and on the processor."""
    return (
        type(task) is Task
        and isinstance(task.train_images, Tensor)
        and task.train_images.ndim == 3
        and task.augment is None
        and task.device.type == "cpu"
        and (task.pixels is None or _in_order(task.pixels))
    )


def _in_order(pixels: PixelMap) -> bool:
    """Whether the taps of every pixel come in the order of the pixels that they take."""
    if pixels.weight is None:
        return True
    # A tap without a weight comes when it likes.
    taken = torch.where(pixels.weight != 0, pixels.index, -1)
    before = taken.cummax(0).values[:-1]
    return bool(((taken[1:] >= before) | (taken[1:] < 0)).all())


def _targets(
    pixels: PixelMap | None, count: int
) -> tuple[Int64[np.ndarray, " starts"], UInt32[np.ndarray, " tap"], Float32[np.ndarray, " tap"]]:
    """Where each pixel of an image goes and with what weight, and where those places begin.

    Few pixels are not black, so what they give is added up, not what others take; the taps of a
    pixel are added in their order all the same.
    """
    source = np.arange(count)[None] if pixels is None else pixels.index.numpy()
    weight = np.ones(source.shape, np.float32)
    if pixels is not None and pixels.weight is not None:
        weight = pixels.weight.numpy()
    # Pixel after pixel, each with its taps.
    source, weight = source.T.reshape(-1), weight.T.reshape(-1)
    target = np.repeat(np.arange(count), len(source) // count)
    order = np.argsort(source, kind="stable")
    order = order[weight[order] != 0]
    starts = np.searchsorted(source[order], np.arange(count + 1))
    return starts, target[order].astype(np.uint32), weight[order]


@compiled()
@no_type_check
def _index(
    images: Any,
    indices: Any,
    target_starts: Any,
    targets: Any,
    weights: Any,
    scale: Any,
    shift: Any,
    most: Any,
    starts: Any,
    columns: Any,
    values: Any,
) -> bool:
    found = 0
    mapped = np.zeros(images.shape[1], np.float32)
    begun = np.full(images.shape[1], -1, np.int32)  # the last row that has given it something
    for row in range(len(indices)):
        image = images[indices[row]]
        starts[row] = found
        for pixel in range(len(image)):
            if image[pixel]:
                for at in range(target_starts[pixel], target_starts[pixel + 1]):
                    target = targets[at]
                    # Multiplied and added one by one, as PyTorch does: the bits are the same.
                    given = np.float32(image[pixel]) * weights[at]
                    if begun[target] == row:
                        mapped[target] += given
                    else:
                        begun[target], mapped[target], columns[found] = row, given, target
                        found += 1
        if found > most:
            return False
        for at in range(starts[row], found):
            values[at] = (mapped[columns[at]] * scale + shift) - shift
    starts[-1] = found
    return True
