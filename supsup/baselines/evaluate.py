"""Accuracy of a baseline, measured after all tasks are learnt, the paper's way."""

from collections.abc import Iterable

import torch

from maskstore.errors import InvalidInput
from supsup.baselines.base import Baseline
from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, whole_batches
from supsup.tasks.protocol import TaskData


def evaluate_baseline(
    baseline: Baseline, tasks: Iterable[TaskData], batch: int = EVAL_BATCH
) -> Evaluation:
    """Scenario GG: each task's test set, its name given.

    Args:
        tasks: learnt ones, in any order and number.
        batch: images a forward pass. A rest smaller than half of it joins the batch before.

    Returns:
        An evaluation whose ``method`` is the baseline's name.

    Raises:
        InvalidInput: there is no task, one was not learnt, or one has no test images.
    """
    if batch < 1:
        raise InvalidInput(f"evaluation batch: expected a whole number from 1, got {batch}")
    rows = tuple(
        TaskAccuracy(name=task.name, accuracy=_accuracy(baseline, task, batch), task_accuracy=1.0)
        for task in tasks
    )
    if not rows:
        raise InvalidInput("evaluation: no tasks; let the baseline learn some first")
    return Evaluation(
        scenario="GG", method=baseline.name, objective=None, batch=batch, per_task=rows
    )


def _accuracy(baseline: Baseline, task: TaskData, batch: int) -> float:
    device = baseline.backbone.device
    right, seen = torch.zeros((), dtype=torch.int64, device=device), 0
    for images, labels in whole_batches(task.test_batches(batch), batch):
        answers = baseline.logits(task.name, images).argmax(1)
        right += (answers == labels.to(device)).sum()
        seen += len(labels)
    if not seen:
        raise InvalidInput(f"task {task.name!r}: no test images")
    return int(right) / seen
