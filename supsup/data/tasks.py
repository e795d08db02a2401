"""Task: one classification problem, its images kept as bytes, its inputs made batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.data.datasets import Dataset
from supsup.data.pixels import PixelMap
from supsup.data.recipes import TaskRecipe
from supsup.data.rules import find_rule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One classification problem, on one device. Make it with :func:`make_task`.

    Tasks of all classes share the data set's tensors: each costs the memory of its pixel map only.
    Inputs are ``scale · pixel + shift``: pixels scaled to [0, 1], then normalised with the data
    set's mean and std, after the pixel map (so what a rotation leaves empty is black).

    Attributes:
        recipe: what remakes the task.
        classes: number of classes; labels are 0 … classes-1.
        pixels: where each pixel comes from; None where images stay as they are.
        scale, shift: 1 / (255 std) and -mean / std.
    """

    recipe: TaskRecipe
    classes: int
    train_images: UInt8[Tensor, "train height width"]
    train_y: Int64[Tensor, " train"]
    test_images: UInt8[Tensor, "test height width"]
    test_y: Int64[Tensor, " test"]
    pixels: PixelMap | None
    scale: float
    shift: float

    @property
    def name(self) -> str:
        """The recipe's name, such as ``split-mnist/0``."""
        return self.recipe.name

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self.train_y)

    @property
    def test_size(self) -> int:
        """Number of test images."""
        return len(self.test_y)

    @property
    def features(self) -> int:
        """Numbers in one input: the pixels of an image."""
        return self.train_images[0].numel()

    @property
    def device(self) -> torch.device:
        """Where images, labels and the batches made from them live."""
        return self.train_y.device

    def to(self, device: torch.device | str) -> "Task":
        """The same task on another device.

        Where many tasks share a data set, move the data set before making them: this copies it.
        """
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_y=self.train_y.to(device),
            test_images=self.test_images.to(device),
            test_y=self.test_y.to(device),
            pixels=None if self.pixels is None else self.pixels.to(device),
        )

    def train_batch(
        self, indices: Int64[Tensor, " b"]
    ) -> tuple[Float32[Tensor, "b pixel"], Int64[Tensor, " b"]]:
        """Inputs and labels of training images 0 … train_size-1, on the task's device."""
        return self._inputs(self.train_images[indices]), self.train_y[indices]

    def test_batch(
        self, indices: Int64[Tensor, " b"]
    ) -> tuple[Float32[Tensor, "b pixel"], Int64[Tensor, " b"]]:
        """Inputs and labels of test images 0 … test_size-1, on the task's device."""
        return self._inputs(self.test_images[indices]), self.test_y[indices]

    def test_batches(
        self, size: int
    ) -> Iterator[tuple[Float32[Tensor, "b pixel"], Int64[Tensor, " b"]]]:
        """All test inputs and labels in order, ``size`` at a time; the last batch may be smaller.

        Raises:
            InvalidInput: ``size`` is below 1.
        """
        if size < 1:
            raise InvalidInput(f"test batches: expected a size of at least 1, got {size}")
        for start in range(0, self.test_size, size):
            where = slice(start, start + size)
            yield self._inputs(self.test_images[where]), self.test_y[where]

    def _inputs(self, images: UInt8[Tensor, "b height width"]) -> Float32[Tensor, "b pixel"]:
        values = images.flatten(1).float()
        if self.pixels is not None:
            values = self.pixels(values)
        return values.mul_(self.scale).add_(self.shift)


def make_task(recipe: TaskRecipe, dataset: Dataset) -> Task:
    """The task of a recipe, on the device of the data set it is made from.

    Raises:
        InvalidInput: the recipe is of another data set, or the data set has no such task or no
            images of its classes.
    """
    if recipe.dataset != dataset.name:
        raise InvalidInput(
            f"task {recipe.name!r}: made from data set {recipe.dataset!r}, got {dataset.name!r}"
        )
    recipe.check_count(dataset.classes)
    rule = find_rule(recipe.rule)
    classes = rule.classes(recipe.index, dataset.classes, recipe.options)
    train = _of_classes(dataset.train_images, dataset.train_labels, classes, dataset.classes)
    test = _of_classes(dataset.test_images, dataset.test_labels, classes, dataset.classes)
    if not len(train[1]) or not len(test[1]):
        raise InvalidInput(
            f"task {recipe.name!r}: expected images of classes {classes[0]} to {classes[-1]}, "
            f"found {len(train[1])} for training and {len(test[1])} for testing"
        )
    height, width = dataset.train_images.shape[1:]
    pixels = rule.pixels(recipe.index, recipe.seed, height, width, recipe.options)
    return Task(
        recipe=recipe,
        classes=len(classes),
        train_images=train[0],
        train_y=train[1],
        test_images=test[0],
        test_y=test[1],
        pixels=None if pixels is None else pixels.to(dataset.train_labels.device),
        scale=1 / (255 * dataset.std),
        shift=-dataset.mean / dataset.std,
    )


def _of_classes(
    images: Tensor, labels: Tensor, classes: range, all_classes: int
) -> tuple[Tensor, Tensor]:
    """The images of consecutive classes with labels from 0; shared, not copied, if that is all."""
    if len(classes) == all_classes:
        return images, labels
    where = (labels >= classes[0]) & (labels <= classes[-1])
    return images[where], labels[where] - classes[0]
