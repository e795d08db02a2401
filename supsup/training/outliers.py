"""Inputs that belong to no task, so that a mask answers foreign data with doubt.

A mask is trained on its own task only; nothing tells it what to do with others' data. Sparse masks
that learn fast become as sure of that as of their own, and then no objective finds the task of a
single image (docs/results/rate_frontier.md). So some training images are repeated with their
numbers in random order, and labelled with superfluous outputs, drawn anew each time: the mask
learns to spread its answer over those, which is high entropy H and high superfluous activity G.
Outlier exposure (Hendrycks et al., 2019) with outliers that need no further data.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup.tasks.counter_random import draws
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig


def check_spare(task: str, classes: int, outputs: int) -> None:
    """Raise InvalidInput where a network of ``outputs`` outputs has none to label outliers with."""
    if classes >= outputs:
        raise InvalidInput(
            f"outliers: task {task!r} has {classes} classes and the network {outputs} outputs, so "
            "none is left to label outliers with; use a network with more (`--outputs`)"
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
            check_spare(task.name, task.classes, outputs)
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
        """The batch, and behind it outliers made of its first images."""
        images = x[:, : self._count].flatten(2)
        numbers = images.shape[2]
        at = torch.tensor([step], dtype=torch.int64, device=x.device)
        drawn = torch.stack([draws(key, at, self._count * (numbers + 1))[0] for key in self._keys])
        drawn = drawn.view(len(x), self._count, numbers + 1)
        order = drawn[:, :, :numbers].argsort(dim=2, stable=True)
        shuffled = images.gather(2, order).view(len(x), self._count, *x.shape[2:])
        first = torch.tensor(self._classes, dtype=torch.int64, device=x.device)[:, None]
        labels = first + (drawn[:, :, numbers] * (self._outputs - first)).long()
        return torch.cat([x, shuffled], dim=1), torch.cat([y, labels], dim=1)
