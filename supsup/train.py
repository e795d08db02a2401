"""Training one mask per task over one frozen backbone."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from maskstore.scores import ScoreStart
from supsup.backbone import Backbone
from supsup.config import TrainConfig
from supsup.errors import TrainingDiverged
from supsup.evaluate import accuracy, check_outputs
from supsup.protocols import TaskData
from supsup.rules.base import MaskRule
from supsup.rules.choose import rule_of
from supsup.sampling import batches

_REPORT_STEPS = 20
"""Steps between looks at the loss: each look waits for the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where training is: ``step`` of ``steps`` of task ``name`` are done, at mean ``loss``."""

    name: str
    step: int
    steps: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedMask:
    """What training leaves of one task.

    Attributes:
        name: of the task.
        masks: boolean arrays by layer.
        metrics: ``accuracy`` on the test set, ``loss`` over the last steps, ``density``, ``steps``.
        metadata: JSON: the task's recipe, the configuration, and where the scores started.
    """

    name: str
    masks: dict[str, Bool[np.ndarray, "..."]]
    metrics: dict[str, float]
    metadata: dict[str, Any]


def train(
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[TrainedMask]:
    """Train a mask for each task, and give each as soon as it is done.

    Two runs on the same device, with the same number of threads, give the same masks. Tasks do not
    see each other: one trained alone is one trained among others.

    Args:
        progress: called every few steps and at each task's end.

    Raises:
        InvalidInput: a task has no images, or more classes than the backbone has outputs.
        TrainingDiverged: a loss or a score is not finite any more.
    """
    rule = rule_of(config, backbone.layout)
    for task in tasks:
        stream = "scores" if config.shared_scores else f"scores/{task.name}"
        start = ScoreStart(seed=config.seed, stream=stream)
        scores = {
            name: torch.from_numpy(layer).to(backbone.device).requires_grad_()
            for name, layer in start.draw(backbone.layout).items()
        }
        steps = config.steps_for(task.train_size)
        loss = _descend(backbone, task, config, rule, scores, steps, progress)
        masks = rule.masks(scores)
        ones = sum(int(np.count_nonzero(layer)) for layer in masks.values())
        yield TrainedMask(
            name=task.name,
            masks=masks,
            metrics={
                "accuracy": accuracy(backbone, masks, task),
                "loss": loss,
                "density": ones / backbone.layout.bits,
                "steps": steps,
            },
            metadata={
                "task": None if task.recipe is None else task.recipe.to_json(),
                "training": config.to_json(),
                "scores": start.to_json(),
            },
        )


def _descend(
    backbone: Backbone,
    task: TaskData,
    config: TrainConfig,
    rule: MaskRule,
    scores: dict[str, Tensor],
    steps: int,
    progress: Callable[[Progress], None] | None,
) -> float:
    """Optimise ``scores`` in place; returns the mean loss over the last steps."""
    optimizer = _optimizer(config, list(scores.values()))
    order = batches(config.seed, task.name, task.train_size, config.batch, task.device)
    total = torch.zeros((), device=backbone.device)
    mean, since = math.nan, 0
    for step in range(steps):
        images, labels = task.train_batch(next(order))
        masks = {name: rule.relax(name, layer) for name, layer in scores.items()}
        logits = backbone.logits(images.to(backbone.device), masks)
        if step == 0:
            check_outputs(logits.shape[1], task)
        # Over all outputs, not only the task's classes: that pushes superfluous ones down.
        loss = F.cross_entropy(logits, labels.to(backbone.device))
        optimizer.param_groups[0]["lr"] = config.lr_at(step, steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
        since += 1
        if since == _REPORT_STEPS or step + 1 == steps:
            mean = float(total) / since
            if not math.isfinite(mean):
                raise _diverged(task, config, f"the loss is {mean} at step {step + 1} of {steps}")
            if progress is not None:
                progress(Progress(name=task.name, step=step + 1, steps=steps, loss=mean))
            total.zero_()
            since = 0
    for name, layer in scores.items():
        if not bool(torch.isfinite(layer).all()):
            raise _diverged(task, config, f"scores of layer {name!r} are not finite")
    return mean


def _diverged(task: TaskData, config: TrainConfig, found: str) -> TrainingDiverged:
    return TrainingDiverged(
        f"task {task.name!r}: {found}; lower the learning rate (now {config.peak_lr:g}) "
        "and check the data for NaN"
    )


def _optimizer(config: TrainConfig, parameters: list[Tensor]) -> torch.optim.Optimizer:
    if config.optimizer == "rmsprop":  # has no fused form
        return torch.optim.RMSprop(
            parameters, config.peak_lr, weight_decay=config.weight_decay, foreach=True
        )
    fused = parameters[0].device.type in ("cpu", "cuda")
    if config.optimizer == "adam":
        return torch.optim.Adam(
            parameters, config.peak_lr, weight_decay=config.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        parameters,
        config.peak_lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=fused,
    )
