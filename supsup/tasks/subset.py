"""A test set cut in two: images to find the task with, and others to score the answer on."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import permutation
from supsup.tasks.protocol import Recipe, TaskData


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """A task with the given test images only; all else is the task's own."""

    task: TaskData
    test_x: Float[Tensor, "image ..."]
    test_y: Int64[Tensor, " image"]

    @property
    def name(self) -> str:
        """Of the task."""
        return self.task.name

    @property
    def classes(self) -> int:
        """Of the task."""
        return self.task.classes

    @property
    def train_size(self) -> int:
        """Of the task."""
        return self.task.train_size

    @property
    def device(self) -> torch.device:
        """Of the task."""
        return self.task.device

    @property
    def recipe(self) -> Recipe | None:
        """Of the task."""
        return self.task.recipe

    def train_batch(
        self, indices: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """The task's training images."""
        return self.task.train_batch(indices)

    def test_batches(
        self, size: int
    ) -> Iterator[tuple[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]]]:
        """The images held out, ``size`` at a time."""
        yield from zip(self.test_x.split(size), self.test_y.split(size), strict=True)


def hold_out(
    task: TaskData, *, seed: int, disjoint: bool = True
) -> tuple[Float[Tensor, "image ..."], HeldOut]:
    """(unlabelled images, the task with the rest of its test set).

    Half of the test set each, by the seeded permutation for ``"holdout/<name>"``.

    Args:
        disjoint: False gives the whole test set to both, as the paper does.

    Raises:
        InvalidInput: fewer than two test images.
    """
    x, y = _test_set(task, f"holdout/{task.name}", seed)
    if len(y) < 2:
        raise InvalidInput(f"task {task.name!r}: {len(y)} test images cannot be cut in two")
    if not disjoint:
        return x, HeldOut(task=task, test_x=x, test_y=y)
    half = len(y) // 2
    return x[:half], HeldOut(task=task, test_x=x[half:], test_y=y[half:])


def sample_test(task: TaskData, images: int, *, seed: int) -> HeldOut:
    """The task with some images of its test set: the first ones of the seeded permutation for
    ``"sample/<name>"``, so other images for every task; all where it has no more.

    Raises:
        InvalidInput: fewer than one image.
    """
    if images < 1:
        raise InvalidInput(f"test images: expected a whole number from 1, got {images}")
    x, y = _test_set(task, f"sample/{task.name}", seed)
    # Clones: of tensors that were cut off all of it would be held.
    return HeldOut(task=task, test_x=x[:images].clone(), test_y=y[:images].clone())


def _test_set(
    task: TaskData, permuted_for: str, seed: int
) -> tuple[Float[Tensor, "image ..."], Int64[Tensor, " image"]]:
    """All test images, in the order that the seed draws."""
    parts = list(task.test_batches(1024))
    x, y = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
    order = torch.from_numpy(permutation(seed, permuted_for, len(y))).to(y.device)
    return x[order], y[order]
