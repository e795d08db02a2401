"""The training loop that all baselines share."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from supsup.baselines.base import BaselineConfig
from supsup.errors import TrainingDiverged
from supsup.networks.strided_points import pixels_left_out_first
from supsup.tasks.checked import train_images
from supsup.tasks.order import batches
from supsup.tasks.protocol import TaskData
from supsup.training.config import scheduled
from supsup.training.updates import make_optimizer

LAST_STEPS = 100
"""Steps whose mean loss a training tells."""

Labelled = tuple[Tensor, Tensor]
"""Images and their labels."""

Loss = Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]
"""From the weights in training, a batch's images and its labels to a scalar."""


def fit(
    task: TaskData,
    config: BaselineConfig,
    start: Mapping[str, Tensor],
    loss: Loss,
    *,
    device: torch.device,
    lr: float | None = None,
    source: Iterator[Labelled] | None = None,
) -> tuple[dict[str, Tensor], float]:
    """Minimise a loss over a task's training images.

    Args:
        start: what training begins with; it is not written to.
        loss: asked at each step.
        lr: in the place of the configuration's.
        source: endless batches; None for the task's own, in the seeded order.

    Returns:
        The trained tensors under the names of ``start``, and the mean loss of the last steps.

    Raises:
        InvalidInput: the task has no images.
        TrainingDiverged: the loss or a weight is not finite at the end.
    """
    weights = {name: tensor.detach().clone() for name, tensor in start.items()}
    trained = [tensor.requires_grad_() for tensor in weights.values()]
    rate = config.rate if lr is None else lr
    optimizer = make_optimizer(config.optimizer, trained, rate)
    steps = config.steps_for(task.train_size)
    last: deque[Tensor] = deque(maxlen=LAST_STEPS)
    labelled = islice(source or own_batches(task, config), steps)
    for step, (images, labels) in enumerate(labelled):
        for group in optimizer.param_groups:
            group["lr"] = scheduled(config.schedule, rate, step, steps)
        with pixels_left_out_first(trained):
            found = loss(weights, images.to(device), labels.to(device))
            optimizer.zero_grad()
            found.backward()
        optimizer.step()
        last.append(found.detach())
    mean = float(torch.stack(list(last)).mean())
    if not math.isfinite(mean) or not all(bool(w.isfinite().all()) for w in trained):
        raise TrainingDiverged(
            f"task {task.name!r}: after {steps} steps the loss is {mean} or a weight is not "
            f"finite; lower the learning rate (now {rate:g}) and check the data for NaN",
            task=task.name,
        )
    return {name: tensor.detach() for name, tensor in weights.items()}, mean


def own_batches(task: TaskData, config: BaselineConfig) -> Iterator[Labelled]:
    """Endless batches of a task's training images, in the seeded order."""
    for indices in batches(config.seed, task.name, task.train_size, config.batch, task.device):
        yield train_images(task, indices)
