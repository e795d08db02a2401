"""The training batches of tasks that learn together."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from supsup.tasks.joint_batches import JointBatches, can_join
from supsup.tasks.order import batches
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig

Batches = Iterator[tuple[Float[Tensor, "task batch ..."], Int64[Tensor, "task batch"]]]

_AHEAD = 32
"""Steps whose indices are drawn at a time, so that a GPU gets them in one piece."""


def batches_for(tasks: Sequence[TaskData], config: TrainConfig, device: torch.device) -> Batches:
    """Endless batches of all tasks, each in its own order of images, on ``device``."""
    if len(tasks) > 1 and can_join(tasks):
        joined = JointBatches(tasks)  # type: ignore[arg-type]
        pairs = map(joined.train_batch, _indices(tasks, config))
        return ((x.to(device), y.to(device)) for x, y in pairs)
    return _one_by_one(tasks, config, device)


def _one_by_one(tasks: Sequence[TaskData], config: TrainConfig, device: torch.device) -> Batches:
    orders = [
        batches(config.seed, task.name, task.train_size, config.batch, task.device)
        for task in tasks
    ]
    while True:
        pairs = [task.train_batch(next(order)) for task, order in zip(tasks, orders, strict=True)]
        x = torch.stack([images for images, _ in pairs])
        y = torch.stack([labels for _, labels in pairs])
        yield x.to(device), y.to(device)


def _indices(
    tasks: Sequence[TaskData], config: TrainConfig
) -> Iterator[Int64[Tensor, "task batch"]]:
    cpu = torch.device("cpu")
    orders = [
        batches(config.seed, task.name, task.train_size, config.batch * _AHEAD, cpu)
        for task in tasks
    ]
    while True:
        ahead = torch.stack([next(order) for order in orders]).to(tasks[0].device)
        yield from ahead.view(len(tasks), _AHEAD, config.batch).unbind(1)
