"""The training batches of tasks that learn together."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import join_inputs, map_inputs, tensors_of
from supsup.tasks.checked import train_batch
from supsup.tasks.joint_batches import JointBatches, can_join
from supsup.tasks.loader_task import LoaderTask
from supsup.tasks.order import batches
from supsup.tasks.protocol import TaskData
from supsup.tasks.task import Task
from supsup.training.config import TrainConfig
from supsup.training.grey_batches import GreyBatches, are_grey
from supsup.training.sparse_batch import SparseBatch

Batches = Iterator[tuple[Inputs, Int64[Tensor, "task batch"]]]
"""Inputs and labels, with an axis for the task in front."""

SparseBatches = Iterator[tuple[Inputs | SparseBatch, Int64[Tensor, "task batch"]]]
"""The same, where inputs of one task alone may be a sparse batch, which has no such axis."""

Order = Iterator[Int64[Tensor, " batch"]]

HELD_OUT_SHARE, MOST_HELD_OUT, LEAST_HELD_OUT = 0.1, 500, 20
"""Of a task's training images that training does not see, so that what is said of new data rests on
images that are new to the mask; none where that would be too few to tell a share of 95%."""

_AHEAD = 32
"""Steps whose indices are drawn at a time, so that a GPU gets them in one piece."""


def batches_for(tasks: Sequence[TaskData], config: TrainConfig, device: torch.device) -> Batches:
    """Endless batches of all tasks, each in its own order of images, on ``device``."""
    if len(tasks) > 1 and can_join(tasks):
        joined = JointBatches(tasks)  # type: ignore[arg-type]
        pairs = map(joined.train_batch, _indices(tasks, config))
        return ((x.to(device), y.to(device)) for x, y in pairs)
    return _one_by_one(tasks, config, device)


def sparse_batches_for(
    tasks: Sequence[TaskData], config: TrainConfig, device: torch.device
) -> SparseBatches:
    """:func:`batches_for`, sparse where that is known of the images of a task that is alone."""
    if len(tasks) == 1 and are_grey(tasks[0]):
        return _grey(tasks[0], config)  # type: ignore[arg-type]
    return batches_for(tasks, config, device)


def held_out_of(task: TaskData) -> int:
    """How many training images of a task are kept from training; 0 where a loader chooses them."""
    if isinstance(task, LoaderTask):
        return 0
    share = min(int(HELD_OUT_SHARE * task.train_size), MOST_HELD_OUT)
    return share if share >= LEAST_HELD_OUT else 0


def _order(task: TaskData, seed: int, batch: int, device: torch.device) -> Order:
    return batches(seed, task.name, task.train_size, batch, device, held_out=held_out_of(task))


def _grey(task: Task, config: TrainConfig) -> SparseBatches:
    made = GreyBatches(task, config.batch)
    for indices in _order(task, config.seed, config.batch, task.device):
        x, y = made.train_batch(indices)
        yield x if isinstance(x, SparseBatch) else x[None], y[None]


def _one_by_one(tasks: Sequence[TaskData], config: TrainConfig, device: torch.device) -> Batches:
    orders = [_order(task, config.seed, config.batch, task.device) for task in tasks]
    while True:
        pairs = [train_batch(task, next(order)) for task, order in zip(tasks, orders, strict=True)]
        x = _side_by_side(tasks, [images for images, _ in pairs])
        y = torch.stack([labels for _, labels in pairs])
        yield map_inputs(lambda each: each.to(device), x), y.to(device)


def _side_by_side(tasks: Sequence[TaskData], inputs: Sequence[Inputs]) -> Inputs:
    """The inputs of several tasks, with an axis for the task in front."""
    for task, x in zip(tasks, inputs, strict=True):
        if _form(x) != _form(inputs[0]):
            raise InvalidInput(
                f"task {task.name!r}: inputs like {_form(x)}, those of {tasks[0].name!r} are like "
                f"{_form(inputs[0])}; train them in calls of their own, or one at a time "
                "(parallel=1)"
            )
    return join_inputs(inputs, lambda each: torch.stack(each) if len(each) > 1 else each[0][None])


def _form(x: Inputs) -> str:
    names = x if isinstance(x, dict) else range(len(tensors_of(x)))
    forms = [f"{each.dtype} {tuple(each.shape[1:])}" for each in tensors_of(x)]
    if isinstance(x, Tensor):
        return forms[0].removeprefix("torch.")
    return ", ".join(f"{n}: {f}" for n, f in zip(names, forms, strict=True)).replace("torch.", "")


def _indices(
    tasks: Sequence[TaskData], config: TrainConfig
) -> Iterator[Int64[Tensor, "task batch"]]:
    cpu = torch.device("cpu")
    orders = [_order(task, config.seed, config.batch * _AHEAD, cpu) for task in tasks]
    while True:
        ahead = torch.stack([next(order) for order in orders]).to(tasks[0].device)
        yield from ahead.view(len(tasks), _AHEAD, config.batch).unbind(1)
