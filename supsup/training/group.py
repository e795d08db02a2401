"""Training a group of tasks in step, from initial scores to masks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from maskstore.seeded.scores import ScoreStart
from supsup.errors import TrainingDiverged
from supsup.evaluation.score import accuracy_and_energy, check_outputs
from supsup.inference.ood import EnergyThreshold
from supsup.masking.base import MaskRule
from supsup.masking.threshold import Threshold
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData
from supsup.training.batches import batches_for
from supsup.training.buffers import Buffers
from supsup.training.config import TrainConfig, rule_of
from supsup.training.fused_updates import FUSED
from supsup.training.gradients import gradients_of
from supsup.training.outliers import Outliers
from supsup.training.transfer import Transfer
from supsup.training.updates import OptimizerUpdate, Update

_REPORT_STEPS = 20
"""Steps between looks at the loss: each look waits for the device."""


class Stopped(Exception):
    """Nobody wants the rest of the training."""


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
        metadata: JSON: the task's recipe, the configuration, where the scores started, and the
            energy of test images (:class:`supsup.inference.ood.EnergyThreshold`); where several
            tasks shared a step, ``together``: how many; with transfer, ``earlier``: how many tasks
            the mean is of.
        scores: with transfer of scores, those that it ended with, layer after layer.
    """

    name: str
    masks: dict[str, Bool[np.ndarray, "..."]]
    metrics: dict[str, float]
    metadata: dict[str, Any]
    scores: Float32[np.ndarray, " bits"] | None = None


Outcome = TrainedMask | TrainingDiverged


def train_group(
    backbone: Backbone,
    tasks: Sequence[TaskData],
    config: TrainConfig,
    *,
    rows: int,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
    transfer: Transfer | None = None,
) -> list[Outcome]:
    """Train tasks of equally many steps, all in each step; one outcome for each.

    Args:
        rows: at least as many as tasks. Further rows repeat the last task, so that every group has
            the same shape: kernels, and with them the bits of a mask, may depend on it.
        report: told of every task every few steps and at the end.
        stopped: asked at every step.
        transfer: what earlier tasks left, for a task alone.

    Raises:
        InvalidInput: a task has no images, or more classes than the backbone has outputs.
        Stopped: ``stopped`` said so.
    """
    backbone = backbone.replica()  # this thread's own
    rule = rule_of(config, backbone.layout)
    starts = [start_of(config, task) for task in tasks]
    padding = rows - len(tasks)
    low = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    buffers = Buffers.draw(backbone.layout, [*starts, *starts[-1:] * padding], backbone.device, low)
    earlier = 0 if transfer is None else transfer.count
    if transfer is not None:
        transfer.begin(buffers.scores[0])
    steps = config.steps_for(tasks[0].train_size)
    gradients = gradients_of(buffers, backbone)
    update = update_of(buffers, backbone, rule, config)
    losses = torch.zeros(len(tasks), device=backbone.device)
    means, since = [math.nan] * len(tasks), 0
    failures: dict[int, str] = {}
    padded = [*tasks, *list(tasks[-1:]) * padding]
    source = batches_for(padded, config, backbone.device)
    outliers: Outliers | None = None
    for step in range(steps):
        if stopped():
            raise Stopped
        x, y = next(source)
        if step == 0:
            outputs = _outputs(backbone, x[0])
            for task in tasks:
                check_outputs(outputs, task)
            if config.outliers:
                outliers = Outliers(padded, config, outputs)
        if outliers is not None:
            x, y = outliers.join(step, x, y)
        losses += gradients.losses(x, y)[: len(tasks)]
        update.step(config.lr_at(step, steps), (step + 1) / steps)
        since += 1
        if since == _REPORT_STEPS or step + 1 == steps:
            means = (losses / since).tolist()
            losses.zero_()
            since = 0
            for at, (task, mean) in enumerate(zip(tasks, means, strict=True)):
                if at not in failures and not math.isfinite(mean):
                    failures[at] = f"the loss is {mean} at step {step + 1} of {steps}"
                elif at not in failures:
                    report(Progress(name=task.name, step=step + 1, steps=steps, loss=mean))
            if len(failures) == len(tasks):
                break
    scores = buffers.layers(buffers.scores)
    outcomes: list[Outcome] = []
    for at, task in enumerate(tasks):
        own = {name: layer[at] for name, layer in scores.items()}
        failure = failures.get(at) or _not_finite(own)
        if failure:
            outcomes.append(_diverged(task, config, failure))
            continue
        masks = rule.masks(own)
        right, energies = accuracy_and_energy(backbone, masks, task)
        if not bool(energies.isfinite().all()):
            outcomes.append(_diverged(task, config, "its answers to test images are not finite"))
            continue
        if transfer is not None:
            transfer.end(buffers.scores[at], masks)
        ones = sum(int(np.count_nonzero(layer)) for layer in masks.values())
        metrics = {
            "accuracy": right,
            "loss": _six_digits(means[at]),
            "density": _six_digits(ones / backbone.layout.bits),
            "steps": steps,
        }
        metadata: dict[str, Any] = {
            "task": None if task.recipe is None else task.recipe.to_json(),
            "training": config.to_json(),
            "scores": starts[at].to_json(),
            "energy": EnergyThreshold.of(energies).to_json(),
        }
        if transfer is not None:
            metadata["earlier"] = earlier
        if rows > 1:
            metadata["together"] = rows
        left = buffers.scores[at].cpu().numpy() if config.transfer == "scores" else None
        outcomes.append(
            TrainedMask(
                name=task.name, masks=masks, metrics=metrics, metadata=metadata, scores=left
            )
        )
    return outcomes


def _six_digits(figure: float) -> float:
    """Every further digit would cost its bytes in every task of an archive."""
    return float(f"{figure:.6g}")


def start_of(config: TrainConfig, task: TaskData) -> ScoreStart:
    """Where the scores of a task start."""
    stream = "scores" if config.shared_scores else f"scores/{task.name}"
    return ScoreStart(seed=config.seed, stream=stream)


def update_of(buffers: Buffers, backbone: Backbone, rule: MaskRule, config: TrainConfig) -> Update:
    """The quickest update of this rule and optimizer on this device."""
    frozen: Float32[Tensor, " bits"] = torch.cat(
        [weight.detach().flatten() for weight in backbone.weights.values()]
    )
    fits = frozen.device.type == "cpu" and buffers.weights.dtype == torch.float32
    if fits and config.optimizer in FUSED and type(rule) is Threshold:
        return FUSED[config.optimizer](buffers, frozen, config)
    return OptimizerUpdate(buffers, frozen, rule, config)


def _outputs(backbone: Backbone, x: Tensor) -> int:
    with torch.no_grad():
        return backbone.run(x, backbone.weights).shape[1]


def _not_finite(scores: dict[str, Tensor]) -> str | None:
    for name, layer in scores.items():
        if not bool(torch.isfinite(layer).all()):
            return f"scores of layer {name!r} are not finite"
    return None


def _diverged(task: TaskData, config: TrainConfig, found: str) -> TrainingDiverged:
    return TrainingDiverged(
        f"task {task.name!r}: {found}; lower the learning rate (now {config.peak_lr:g}) "
        "and check the data for NaN",
        task=task.name,
    )
