"""What training and evaluation ask of a task, so that any data can be one."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from maskstore.errors import SupsupError
from maskstore.notebook import Shown
from supsup.datasets.thumbnails import COUNT, row_of
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


class ParsedTask(Shown):
    """A task of this package: its batches are parsed already, see :mod:`supsup.tasks.checked`."""

    __slots__ = ()

    def _shown(self) -> str:
        assert isinstance(self, TaskData)
        return f"{self.name!r}: {self.classes:,} classes, {self.train_size:,} training inputs"


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

    def _shown(self) -> str:
        training = super()._shown().removesuffix(" inputs")
        return f"{training} and {self.test_size:,} test inputs"

    def _repr_html_(self) -> str:
        """What a notebook shows: the line of ``repr``, and the first test images."""
        assert isinstance(self, TaskData)
        count = min(COUNT, self.test_size)
        try:
            indices = torch.arange(count, dtype=torch.int64, device=self.device)
            inputs, _ = self.test_batch(indices)
        except SupsupError:  # a picture that cannot be read is told where it is used
            return super()._repr_html_()
        shown = self._as_images(inputs) if isinstance(inputs, Tensor) else None
        return super()._repr_html_() + ("" if shown is None else row_of(shown))

    def _as_images(self, inputs: Tensor) -> Tensor:
        """Inputs in the shape of images, where a task knows that they are."""
        return inputs
