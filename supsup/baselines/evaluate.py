"""Accuracy of a baseline, measured after all tasks are learnt, the paper's way."""

from collections.abc import Callable, Iterable

from jaxtyping import Float
from torch import Tensor

from supsup.baselines.base import Baseline
from supsup.evaluation.scenarios import GG
from supsup.evaluation.score import EVAL_BATCH, Answers, Evaluation, score_task
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
    net = baseline.backbone
    rows = (
        score_task(task, _answer(baseline, task.name), backbone=net, batch=batch) for task in tasks
    )
    return Evaluation.of(GG, rows, method=baseline.name, objective=None, batch=batch)


def _answer(baseline: Baseline, task: str) -> Callable[[Float[Tensor, "batch ..."]], Answers]:
    return lambda images: Answers(labels=baseline.logits(task, images).argmax(1))
