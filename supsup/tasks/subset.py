"""A task with some of its test images: held out from others, sampled, or just fewer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import permutation
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import Batch, join_batches, one_tensor, rows_of, split_batch
from supsup.tasks.checked import test_batches, train_batch
from supsup.tasks.class_names import class_names_of
from supsup.tasks.protocol import IndexedTask, Recipe, TaskData
from supsup.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Subset(IndexedTask):
    """A task with some of its test images, in memory; all else is the task's own.

    Made by :func:`subset`.
    """

    task: TaskData
    test_x: Inputs
    test_y: Int64[Tensor, " image"]
    called: str | None = None

    @property
    def name(self) -> str:
        """Of the task, where it was given no other."""
        return self.task.name if self.called is None else self.called

    @property
    def classes(self) -> int:
        """Of the task."""
        return self.task.classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Of the task."""
        return class_names_of(self.task)

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

    @property
    def test_size(self) -> int:
        """Number of its test images."""
        return len(self.test_y)

    def train_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The task's training images."""
        return train_batch(self.task, indices)

    def test_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The images of those indices, and their labels."""
        return rows_of((self.test_x, self.test_y), indices)

    def test_batches(self, size: int) -> Iterator[Batch]:
        """The images, ``size`` at a time."""
        yield from split_batch((self.test_x, self.test_y), size)


def subset(task: TaskData, indices: Int64[Tensor, " image"] | None = None) -> Subset:
    """The task with the test images of those indices only, in their order; None takes all.

    No other images are held in memory.

    Raises:
        InvalidInput: no test images, no index, or one beyond the test set.
    """
    inner = task.task if isinstance(task, Subset) else task
    if indices is not None and isinstance(task, IndexedTask):
        # The others are not even made: of thousands of tasks that would leave memory in pieces.
        x, y = task.test_batch(_checked(task, indices, task.test_size).to(task.device))
        return Subset(task=inner, test_x=x, test_y=y)
    whole = join_batches(test_batches(task, 1024, finite=True))
    if whole is None:
        raise InvalidInput(f"task {task.name!r}: no test images")
    if indices is not None:
        where = _checked(task, indices, len(whole[1]))
        whole = rows_of(whole, where.to(whole[1].device))
    return Subset(task=inner, test_x=whole[0], test_y=whole[1])


def _checked(
    task: TaskData, indices: Int64[Tensor, " image"], count: int
) -> Int64[Tensor, " image"]:
    if not len(indices) or not 0 <= int(indices.min()) <= int(indices.max()) < count:
        raise InvalidInput(
            f"task {task.name!r}: expected indices of its {count} test images, at least one, "
            f"got {indices.tolist()!r:.60}"
        )
    return indices


def named(task: TaskData, name: str) -> TaskData:
    """The same task under a name; its test images are in memory, unless it has the name already."""
    if task.name == name:
        return task
    if isinstance(task, Task):
        return replace(task, called=name)
    return replace(subset(task), called=name)


def hold_out(task: TaskData, *, seed: int, disjoint: bool = True) -> tuple[Tensor, Subset]:
    """(unlabelled images, the task with the rest of its test set).

    Half of the test set each, by the seeded permutation for ``"holdout/<name>"``.

    Args:
        disjoint: False gives the whole test set to both, as the paper does.

    Raises:
        InvalidInput: fewer than two test images, or images of several inputs each.
    """
    whole = subset(task)
    count = len(whole.test_y)
    if count < 2:
        raise InvalidInput(f"task {task.name!r}: {count} test images cannot be cut in two")
    order = _order(f"holdout/{task.name}", seed, count)
    here, there = (order[: count // 2], order[count // 2 :]) if disjoint else (order, order)
    images = one_tensor(subset(whole, here).test_x, f"task {task.name!r}")
    return images, subset(whole, there)


def sample_test(task: TaskData, images: int, *, seed: int) -> Subset:
    """The task with some images of its test set: the first ones of the seeded permutation for
    ``"sample/<name>"``, so other images for every task; all where it has no more.

    Raises:
        InvalidInput: fewer than one image.
    """
    if images < 1:
        raise InvalidInput(f"test images: expected a whole number from 1, got {images}")
    whole = task if isinstance(task, IndexedTask) and task.test_size else subset(task)
    return subset(whole, _order(f"sample/{task.name}", seed, whole.test_size)[:images])


def _order(permuted_for: str, seed: int, count: int) -> Int64[Tensor, " image"]:
    return torch.from_numpy(permutation(seed, permuted_for, count))
