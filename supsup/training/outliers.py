"""Inputs that belong to no task, so that a mask answers foreign data with doubt.

A mask is trained on its own task only; nothing tells it what to do with others' data. Sparse masks
that learn fast become as sure of that as of their own, and then no objective finds the task of a
single image (docs/results/rate_frontier.md). So some training images are repeated otherwise, and
labelled with superfluous outputs: the mask learns to spread its answer over those, which is high
entropy H and high superfluous activity G. Outlier exposure (Hendrycks et al., 2019) with outliers
that need no further data, of two kinds:

- ``shuffled``: numbers in random order, drawn anew each time, under any superfluous output;
- ``rotated``: turned by a quarter, a half or three quarters, each turn of each class a further
  class (CSI, Tack et al., 2020). Flat inputs are taken for the rows of a square image.
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
from supsup.tasks.counter_random import draws
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig

_TURNS = 3


class OutlierKind(ABC):
    """What is made of an image, and under which output."""

    name: ClassVar[str]

    def needed(self, classes: int) -> int:
        """Outputs that a task of so many classes needs."""
        return classes + 1

    @abstractmethod
    def order(
        self, uniform: Float32[Tensor, "task image number"], shape: Sequence[int]
    ) -> Int64[Tensor, "task image number"]:
        """Where each number of an image comes from.

        Raises:
            InvalidInput: not of images of that shape.
        """

    @abstractmethod
    def labels(
        self,
        uniform: Float32[Tensor, "task image"],
        first: Float32[Tensor, "task image number"],
        y: Int64[Tensor, "task image"],
        classes: Int64[Tensor, "task 1"],
        outputs: int,
    ) -> Int64[Tensor, "task image"]:
        """The output of each: of a number of its own, those of :meth:`order`, and its class."""


class Shuffled(OutlierKind):
    """Numbers in random order."""

    name = "shuffled"

    def order(
        self, uniform: Float32[Tensor, "task image number"], shape: Sequence[int]
    ) -> Int64[Tensor, "task image number"]:
        return uniform.argsort(dim=2, stable=True)

    def labels(
        self,
        uniform: Float32[Tensor, "task image"],
        first: Float32[Tensor, "task image number"],
        y: Int64[Tensor, "task image"],
        classes: Int64[Tensor, "task 1"],
        outputs: int,
    ) -> Int64[Tensor, "task image"]:
        return classes + (uniform * (outputs - classes)).long()


class Rotated(OutlierKind):
    """Images turned by quarters: three further classes of each."""

    name = "rotated"

    def needed(self, classes: int) -> int:
        return (1 + _TURNS) * classes

    def order(
        self, uniform: Float32[Tensor, "task image number"], shape: Sequence[int]
    ) -> Int64[Tensor, "task image number"]:
        numbers = uniform.shape[2]
        side = shape[-1] if len(shape) > 1 else math.isqrt(numbers)
        if (shape[-2] if len(shape) > 1 else numbers / side) != side:
            raise InvalidInput(
                "outliers: rotated ones are of square images, got inputs of shape "
                f"{tuple(shape)}; take shuffled ones"
            )
        at = torch.arange(numbers, dtype=torch.int64, device=uniform.device).view(-1, side, side)
        turned = [at.rot90(turn, (1, 2)).flatten() for turn in range(1, _TURNS + 1)]
        return torch.stack(turned)[self._turns(uniform)]

    def labels(
        self,
        uniform: Float32[Tensor, "task image"],
        first: Float32[Tensor, "task image number"],
        y: Int64[Tensor, "task image"],
        classes: Int64[Tensor, "task 1"],
        outputs: int,
    ) -> Int64[Tensor, "task image"]:
        return y + classes * (1 + self._turns(first))

    @staticmethod
    def _turns(uniform: Float32[Tensor, "task image number"]) -> Int64[Tensor, "task image"]:
        """Quarters less one."""
        return (uniform[:, :, 0] * _TURNS).long()


OUTLIER_KINDS: dict[str, OutlierKind] = {kind.name: kind for kind in (Shuffled(), Rotated())}


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
    """What is added to the batches of some tasks. It depends on seed, task name and step only."""

    def __init__(self, tasks: Sequence[TaskData], config: TrainConfig, outputs: int) -> None:
        """Prepare for ``tasks``, one a row of a batch.

        Args:
            outputs: of the network; those behind a task's classes are superfluous.

        Raises:
            InvalidInput: a task leaves none.
        """
        for task in tasks:
            check_spare(task.name, task.classes, outputs, config.outlier_kind)
        self._kind = OUTLIER_KINDS[config.outlier_kind]
        self._count = config.outliers_a_batch
        self._classes = [task.classes for task in tasks]
        self._outputs = outputs
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
        """The batch, and behind it outliers made of its first images.

        Raises:
            InvalidInput: none can be made of such inputs.
        """
        images = x[:, : self._count].flatten(2)
        numbers = images.shape[2]
        at = torch.tensor([step], dtype=torch.int64, device=x.device)
        drawn = torch.stack([draws(key, at, self._count * (numbers + 1))[0] for key in self._keys])
        drawn = drawn.view(len(x), self._count, numbers + 1)
        places, last = drawn[:, :, :numbers], drawn[:, :, numbers]
        order = self._kind.order(places, x.shape[2:])
        others = images.gather(2, order).view(len(x), self._count, *x.shape[2:])
        classes = torch.tensor(self._classes, dtype=torch.int64, device=x.device)[:, None]
        labels = self._kind.labels(last, places, y[:, : self._count], classes, self._outputs)
        return torch.cat([x, others], dim=1), torch.cat([y, labels], dim=1)
