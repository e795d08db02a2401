"""Scenarios GNs, GNu and NNs: the task is inferred."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np

from maskstore.errors import InvalidInput, TaskNotFound
from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, whole_batches
from supsup.inference.auto import AUTO_OBJECTIVE, choose
from supsup.inference.bank import MaskBank
from supsup.inference.find_task import infer_in
from supsup.inference.methods import Method, parse_method
from supsup.inference.objectives import Objective, parse_objective
from supsup.tasks.protocol import TaskData


def evaluate_gnu(
    bank: MaskBank,
    tasks: Iterable[TaskData],
    *,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
    mode: str = "image",
    batch: int = EVAL_BATCH,
    batches: int | None = None,
    on_task: Callable[[str], None] | None = None,
) -> Evaluation:
    """Scenario GNu: labels are not shared, so an error in the task is an error in the class.

    Args:
        bank: masks under the names of the tasks; its ``classes`` should be those of the tasks.
        tasks: evaluated against all masks of the bank, one at a time.
        mode: who decides on the task: ``image``, ``batch`` or ``first``.
        batch: images at a time. A rest smaller than half of it joins the batch before.
        batches: only the first so many batches of each test set; None for all.
        on_task: called with a task's name before it is evaluated.

    Raises:
        InvalidInput: no tasks, no test images, or data and network that do not go together.
        TaskNotFound: the bank has no mask of a task's name.
    """
    return _evaluate(
        "GNu", bank, bank.names, tasks, method, objective, mode, batch, batches, on_task
    )


def evaluate_gns(
    bank: MaskBank,
    tasks: Iterable[TaskData],
    *,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
    mode: str = "image",
    batch: int = EVAL_BATCH,
    batches: int | None = None,
    on_task: Callable[[str], None] | None = None,
) -> Evaluation:
    """Scenario GNs: labels are shared, so the right label under a wrong mask is right.

    Arguments and errors are those of :func:`evaluate_gnu`.
    """
    return _evaluate(
        "GNs", bank, bank.names, tasks, method, objective, mode, batch, batches, on_task
    )


def evaluate_nns(
    bank: MaskBank,
    tasks: Iterable[TaskData],
    owners: Sequence[str | None],
    *,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
    mode: str = "image",
    batch: int = EVAL_BATCH,
    batches: int | None = None,
    on_task: Callable[[str], None] | None = None,
) -> Evaluation:
    """Scenario NNs: the task was not known in training either (:mod:`supsup.task_free`).

    Labels are shared. A task may have no mask of its own, and several masks may be one task's.

    Args:
        owners: for each mask of the bank the name of the task that it mostly learnt, None where
            nobody knows; it is used for the task accuracy only.

    The other arguments and errors are those of :func:`evaluate_gnu`.
    """
    return _evaluate("NNs", bank, owners, tasks, method, objective, mode, batch, batches, on_task)


def _evaluate(
    scenario: str,
    bank: MaskBank,
    owners: Sequence[str | None],
    tasks: Iterable[TaskData],
    method: str | Method,
    objective: str | Objective,
    mode: str,
    batch: int,
    batches: int | None,
    on_task: Callable[[str], None] | None,
) -> Evaluation:
    if batch < 1 or (batches is not None and batches < 1):
        raise InvalidInput(
            f"evaluation: expected batch and batches from 1, got {batch} and {batches}"
        )
    if method == "auto":
        method = choose(bank, images=batch, mode=mode)[0]
    if objective == "auto":
        objective = AUTO_OBJECTIVE
    chosen, measure = parse_method(method), parse_objective(objective)
    owner = np.array(owners, object)
    rows = []
    for task in tasks:
        if on_task is not None:
            on_task(task.name)
        if scenario != "NNs" and task.name not in owners:
            raise TaskNotFound(f"evaluation: there is no mask of task {task.name!r}")
        right = found = seen = 0
        for images, labels in islice(whole_batches(task.test_batches(batch), batch), batches):
            if not len(labels):
                continue
            result = infer_in(bank, images, method=chosen, objective=measure, mode=mode)
            in_task = owner[result.tasks] == task.name
            in_class = result.predictions == np.asarray(labels.cpu())
            right += int((in_class & in_task if scenario == "GNu" else in_class).sum())
            found += int(in_task.sum())
            seen += len(labels)
        if not seen:
            raise InvalidInput(f"task {task.name!r}: no test images")
        rows.append(TaskAccuracy(name=task.name, accuracy=right / seen, task_accuracy=found / seen))
    if not rows:
        raise InvalidInput("evaluation: no tasks; add some first (`supsup-store train`)")
    return Evaluation(
        scenario=scenario,
        method=chosen.name,
        objective=measure.name,
        batch=batch,
        per_task=tuple(rows),
    )
