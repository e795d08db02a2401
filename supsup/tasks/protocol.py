"""What training and evaluation ask of a task, so that any data can be one."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from supsup.tasks.batch import Batch


@runtime_checkable
class Recipe(Protocol):
    """What regenerates a task; :class:`supsup.tasks.TaskRecipe` is one."""

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON, to be kept with the mask."""


@runtime_checkable
class TaskData(Protocol):
    """Labelled images of one task; :class:`supsup.tasks.Task` is one.

    Attributes:
        name: such as ``permuted-mnist/17``.
        classes: labels are 0 … classes-1.
        train_size: training images.
        device: where batches are made; indices are given there.
        recipe: regenerates the task; None where nothing does.
    """

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> int: ...

    @property
    def train_size(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def recipe(self) -> Recipe | None: ...

    def train_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The training images of those indices, and their labels."""

    def test_batches(self, size: int) -> Iterable[Batch]:
        """All test images in order, ``size`` at a time, the last batch as small as it comes."""


class ParsedTask:
    """A task of this package: its batches are parsed already, see :mod:`supsup.tasks.checked`."""

    __slots__ = ()


class IndexedTask(ParsedTask, ABC):
    """One that gives any test image by its number."""

    __slots__ = ()

    @property
    @abstractmethod
    def test_size(self) -> int:
        """Number of test images."""

    @abstractmethod
    def test_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The test images of those indices, and their labels."""
