"""Training a group of tasks in step, from initial scores to masks."""

from collections.abc import Callable, Sequence
from operator import itemgetter

import torch
from torch import Tensor

from supsup.evaluation.score import check_outputs
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs, one_tensor
from supsup.tasks.protocol import TaskData
from supsup.training.batches import SparseBatches, batches_for, sparse_batches_for
from supsup.training.config import TrainConfig, rule_of, start_of
from supsup.training.drawn_images import OtherTasks
from supsup.training.fused_updates import turned_for, update_of
from supsup.training.gradients import gradients_of
from supsup.training.outcome import Outcome, Outcomes
from supsup.training.outliers import Outliers
from supsup.training.progress import LossMeter, Progress
from supsup.training.sparse_batch import SparseBatch
from supsup.training.starts import begin
from supsup.training.transfer import Transfer
from supsup.training.updates import OwnUpdate


class Stopped(Exception):
    """Nobody wants the rest of the training."""


@plain_modes()
def train_group(
    backbone: Backbone,
    tasks: Sequence[TaskData],
    config: TrainConfig,
    *,
    rows: int,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
    transfer: Transfer | None = None,
    others: OtherTasks | None = None,
) -> list[Outcome]:
    """Train tasks of equally many steps, all in each step; one outcome for each.

    Args:
        rows: at least as many as tasks. Further rows repeat the last task, so that every group has
            the same shape: kernels, and with them the bits of a mask, may depend on it.
        report: told of every task every few steps and at the end.
        stopped: asked at every step.
        transfer: what earlier tasks left, for a task alone.
        others: that outliers are drawn from.

    Raises:
        InvalidInput: a task has no images, or more classes than the backbone has outputs.
        Stopped: ``stopped`` said so.
    """
    backbone = backbone.replica()  # this thread's own
    rule = rule_of(config, backbone.layout)
    padded = [*tasks, *list(tasks[-1:]) * (rows - len(tasks))]
    starts = [start_of(config, task.name) for task in padded]
    low = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    buffers = begin(backbone, rule, starts, low)
    steps = config.steps_for(tasks[0].train_size)
    outcomes = Outcomes(
        backbone=backbone,
        rule=rule,
        config=config,
        steps=steps,
        rows=rows,
        transfer=transfer,
        earlier=None if transfer is None else transfer.count,
        others=others,
    )
    if transfer is not None:
        transfer.begin(buffers.scores[0])
    buffers = buffers.turn(turned_for(backbone, low, rule, config))
    meter = LossMeter([task.name for task in tasks], steps, report, backbone.device)
    gradients = gradients_of(buffers, backbone, starts)
    update = update_of(buffers, backbone, rule, config)
    own_update = OwnUpdate(buffers, config)
    for step, (x, y) in enumerate(
        _batches(backbone, padded, config, steps, stopped, others, sparse=gradients.sparse)
    ):
        losses = gradients.losses(x, y, step=step)[: len(tasks)]
        lr = config.lr_at(step, steps)
        update.step(lr, (step + 1) / steps)
        own_update.step(lr)
        meter.add(losses)
        if meter.all_failed:
            break
    scores = buffers.as_in_layout(buffers.scores)
    layers = backbone.layout.split(scores)
    return [
        outcomes.outcome(
            task,
            scores[at],
            {name: layer[at] for name, layer in layers.items()},
            {name: each[at] for name, each in {**buffers.tensors, **buffers.own}.items()},
            loss=meter.means[at],
            failure=meter.failures.get(at),
        )
        for at, task in enumerate(tasks)
    ]


def _batches(
    backbone: Backbone,
    tasks: Sequence[TaskData],
    config: TrainConfig,
    steps: int,
    stopped: Callable[[], bool],
    others: OtherTasks | None,
    *,
    sparse: bool,
) -> SparseBatches:
    """The batch of every step, outliers included, on the backbone's device.

    Args:
        sparse: whether they may be sparse.

    Raises:
        InvalidInput: with the first one, where the network does not fit a task.
        Stopped: ``stopped`` said so.
    """
    # Outliers are made of floats.
    make = sparse_batches_for if sparse and not config.outliers else batches_for
    source = make(tasks, config, backbone.device)
    outliers: Outliers | None = None
    for step in range(steps):
        if stopped():
            raise Stopped
        x, y = next(source)
        if step == 0:
            outputs = _outputs(backbone, x)
            for task in tasks:
                check_outputs(outputs, task)
            if config.outliers:
                assert not isinstance(x, SparseBatch)
                one_tensor(x, f"outliers: task {tasks[0].name!r}")
                outliers = Outliers(tasks, config, backbone, outputs, others)
        if outliers is not None and isinstance(x, Tensor):
            x, y = outliers.join(step, x, y)
        yield x, y


def _outputs(backbone: Backbone, x: Inputs | SparseBatch) -> int:
    first = x.dense() if isinstance(x, SparseBatch) else map_inputs(itemgetter(0), x)
    with torch.no_grad():
        return backbone.run(first, backbone.weights).shape[1]
