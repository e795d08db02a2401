"""Inputs that belong to no task, so that a mask answers foreign data with doubt.

A mask is trained on its own task only; nothing tells it what to do with others' data. Sparse masks
that learn fast become as sure of that as of their own, and then no objective finds the task of a
single image (docs/results/rate_frontier.md). So some training images are repeated otherwise, and
labelled with superfluous outputs: the mask learns to spread its answer over those, which is high
entropy H and high superfluous activity G. Outlier exposure (Hendrycks et al., 2019) with outliers
that need no further data, of three kinds:

- ``shuffled``: numbers in random order, drawn anew each time, under any superfluous output;
- ``rotated``: turned by a quarter, a half or three quarters, each turn of each class a further
  class (CSI, Tack et al., 2020). Flat inputs are taken for the rows of a square image;
- ``gaussian``: drawn from what is kept of other tasks, no data of theirs
  (:mod:`supsup.training.drawn_images`), under any superfluous output.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Float32, Int64, Shaped
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup.networks.backbone import Backbone
from supsup.tasks.counter_random import draws
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig
from supsup.training.drawn_images import DrawnImages, OtherTasks, require_others

_TURNS = 3


class OutlierKind(ABC):
    """What is made beside the images of a task, and under which output."""

    name: ClassVar[str]
    draws_others: ClassVar[bool] = False
    """Whether it needs to know other tasks."""

    def needed(self, classes: int) -> int:
        """Outputs that a task of so many classes needs."""
        return classes + 1

    def numbers(self, inputs: int, drawn: DrawnImages | None) -> int:
        """Random numbers that one takes beside that of its label, for inputs of so many."""
        return inputs

    @abstractmethod
    def make(
        self,
        images: Float[Tensor, "image *shape"],
        labels: Int64[Tensor, " image"],
        uniform: Float32[Tensor, "image number"],
        spare: range,
        drawn: DrawnImages | None,
    ) -> tuple[Float[Tensor, "image *shape"], Int64[Tensor, " image"]]:
        """An outlier for each image of a task, and its output.

        Args:
            uniform: those of :meth:`numbers`, and one more.
            spare: outputs that stand for no class.
            drawn: of other tasks, where the kind needs them.

        Raises:
            InvalidInput: none can be made of images of that shape.
        """


def _any_of(spare: range, uniform: Float32[Tensor, " image"]) -> Int64[Tensor, " image"]:
    return spare.start + (uniform * len(spare)).long()


class Shuffled(OutlierKind):
    """Numbers in random order."""

    name = "shuffled"

    def make(
        self,
        images: Float[Tensor, "image *shape"],
        labels: Int64[Tensor, " image"],
        uniform: Float32[Tensor, "image number"],
        spare: range,
        drawn: DrawnImages | None,
    ) -> tuple[Float[Tensor, "image *shape"], Int64[Tensor, " image"]]:
        order = uniform[:, :-1].argsort(dim=1, stable=True)
        made = images.flatten(1).gather(1, order).view(images.shape)
        return made, _any_of(spare, uniform[:, -1])


class Rotated(OutlierKind):
    """Images turned by quarters: three further classes of each."""

    name = "rotated"

    def needed(self, classes: int) -> int:
        return (1 + _TURNS) * classes

    def make(
        self,
        images: Float[Tensor, "image *shape"],
        labels: Int64[Tensor, " image"],
        uniform: Float32[Tensor, "image number"],
        spare: range,
        drawn: DrawnImages | None,
    ) -> tuple[Float[Tensor, "image *shape"], Int64[Tensor, " image"]]:
        shape, numbers = images.shape[1:], images[0].numel()
        side = shape[-1] if len(shape) > 1 else math.isqrt(numbers)
        if (shape[-2] if len(shape) > 1 else numbers / side) != side:
            raise InvalidInput(
                "outliers: rotated ones are of square images, got inputs of shape "
                f"{tuple(shape)}; take shuffled ones"
            )
        turn = (uniform[:, 0] * _TURNS).long()  # quarters less one
        square = images.reshape(len(images), -1, side, side)
        every = torch.stack([square.rot90(quarters, (2, 3)) for quarters in range(1, _TURNS + 1)])
        made = every[turn, torch.arange(len(images), dtype=torch.int64, device=images.device)]
        return made.reshape(images.shape), labels + spare.start * (1 + turn)


class Gaussian(OutlierKind):
    """Images drawn from the class statistics of other tasks."""

    name = "gaussian"
    draws_others = True

    def numbers(self, inputs: int, drawn: DrawnImages | None) -> int:
        assert drawn is not None
        return drawn.numbers

    def make(
        self,
        images: Float[Tensor, "image *shape"],
        labels: Int64[Tensor, " image"],
        uniform: Float32[Tensor, "image number"],
        spare: range,
        drawn: DrawnImages | None,
    ) -> tuple[Float[Tensor, "image *shape"], Int64[Tensor, " image"]]:
        assert drawn is not None
        made = drawn.images(uniform[:, :-1]).to(images.dtype).view(images.shape)
        return made, _any_of(spare, uniform[:, -1])


_KINDS: tuple[OutlierKind, ...] = (Shuffled(), Rotated(), Gaussian())
OUTLIER_KINDS: dict[str, OutlierKind] = {kind.name: kind for kind in _KINDS}


def check_spare(task: str, classes: int, outputs: int, kind: str) -> None:
    """Raise InvalidInput where a network of ``outputs`` outputs has none to label outliers with."""
    needed = OUTLIER_KINDS[kind].needed(classes)
    if needed > outputs:
        raise InvalidInput(
            f"outliers: task {task!r} has {classes} classes and the network {outputs} outputs, so "
            f"not enough are left to label {kind} outliers with; use a network of {needed} or more "
            "(`--outputs`)"
        )


class Outliers:
    """What is added to the batches of some tasks. It depends on seed, task name and step, and
    where they are drawn from other tasks on what is known of these."""

    def __init__(
        self,
        tasks: Sequence[TaskData],
        config: TrainConfig,
        backbone: Backbone,
        outputs: int,
        others: OtherTasks | None = None,
    ) -> None:
        """Prepare for ``tasks``, one a row of a batch.

        Args:
            outputs: of the network; those behind a task's classes are superfluous.
            others: that outliers are drawn from, if they are.

        Raises:
            InvalidInput: a task leaves no output, or no other task can be drawn from.
        """
        for task in tasks:
            check_spare(task.name, task.classes, outputs, config.outlier_kind)
        self._kind = OUTLIER_KINDS[config.outlier_kind]
        self._count = config.outliers_a_batch
        self._spare = [range(task.classes, outputs) for task in tasks]
        self._drawn: list[DrawnImages | None] = [None] * len(tasks)
        if self._kind.draws_others:
            others = require_others(others)
            self._drawn = [DrawnImages(task, others, backbone, config) for task in tasks]
        self._keys = [
            int(seeded.integers(config.seed, f"outliers/{task.name}", (1,), 2**63)[0])
            for task in tasks
        ]

    def join(
        self,
        step: int,
        x: Shaped[Tensor, "task batch ..."],
        y: Int64[Tensor, "task batch"],
    ) -> tuple[Float[Tensor, "task more ..."], Int64[Tensor, "task more"]]:
        """The batch, and behind it outliers made of, or as many as, its first images.

        Raises:
            InvalidInput: none can be made of such inputs.
        """
        images, labels = x[:, : self._count], y[:, : self._count]
        at = torch.tensor([step], dtype=torch.int64, device=x.device)
        rows = zip(images, labels, self._keys, self._spare, self._drawn, strict=True)
        made = [self._of_task(at, *row) for row in rows]
        others, under = (torch.stack(each) for each in zip(*made, strict=True))
        return torch.cat([x, others], dim=1), torch.cat([y, under], dim=1)

    def _of_task(
        self,
        step: Int64[Tensor, " 1"],
        images: Float[Tensor, "image *shape"],
        labels: Int64[Tensor, " image"],
        key: int,
        spare: range,
        drawn: DrawnImages | None,
    ) -> tuple[Float[Tensor, "image *shape"], Int64[Tensor, " image"]]:
        count, inputs = len(images), images[0].numel()
        numbers = self._kind.numbers(inputs, drawn)
        uniform = draws(key, step, self._count * (numbers + 1))[0].view(self._count, numbers + 1)
        return self._kind.make(images, labels, uniform[:count], spare, drawn)
