"""Evaluation where the task is inferred: scenarios GNs, GNu and NNs."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from maskstore.errors import InvalidInput, TaskNotFound
from supsup.evaluation.scenarios import Scenario
from supsup.evaluation.score import EVAL_BATCH, Answers, Evaluation, TaskAccuracy, score_task
from supsup.inference.auto import AUTO_OBJECTIVE, choose
from supsup.inference.bank import MaskBank
from supsup.inference.find_task import infer_in
from supsup.inference.methods import Method, parse_method
from supsup.inference.objectives import Objective, parse_objective
from supsup.tasks.arrays import Inputs
from supsup.tasks.protocol import TaskData


def evaluate_inferred(
    scenario: Scenario,
    bank: MaskBank,
    tasks: Iterable[TaskData],
    owners: Sequence[str | None] | None = None,
    *,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
    mode: str = "image",
    batch: int = EVAL_BATCH,
    batches: int | None = None,
    on_task: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate tasks against all masks of a bank, one task at a time.

    Args:
        scenario: which answers are right.
        bank: its ``classes`` should be those of the tasks.
        owners: for each mask the name of the task that it is for, or, where training was not told
            (:mod:`supsup.task_free`), that it mostly learnt; None where nobody knows. By default
            masks have the names of their tasks.
        mode: who decides on the task: ``image``, ``batch`` or ``first``.
        batch: images at a time. A rest smaller than half of it joins the batch before.
        batches: only the first so many batches of each test set; None for all.
        on_task: called with a task's name before it is evaluated.

    Raises:
        InvalidInput: no tasks, no test images, or data and network that do not go together.
        TaskNotFound: the bank has no mask of a task, in a scenario where training was told it.
    """
    if batch < 1 or (batches is not None and batches < 1):
        raise InvalidInput(
            f"evaluation: expected batch and batches from 1, got {batch} and {batches}"
        )
    if method == "auto":
        method = choose(bank, images=batch, mode=mode)[0]
    if objective == "auto":
        objective = AUTO_OBJECTIVE
    chosen, measure = parse_method(method), parse_objective(objective)
    owner = np.array(bank.names if owners is None else owners, object)

    def rows() -> Iterator[TaskAccuracy]:
        for task in tasks:
            if on_task is not None:
                on_task(task.name)
            if scenario.trained_by_name and task.name not in owner:
                raise TaskNotFound(f"evaluation: there is no mask of task {task.name!r}")
            own = torch.from_numpy(np.asarray(owner == task.name, bool))

            def answer(images: Inputs, own: Tensor = own) -> Answers:
                found = infer_in(bank, images, method=chosen, objective=measure, mode=mode)
                return Answers(
                    labels=torch.from_numpy(found.predictions),
                    in_task=own[torch.from_numpy(found.tasks)],
                )

            yield score_task(
                task,
                answer,
                backbone=bank.backbone,
                labels_shared=scenario.labels_shared,
                batch=batch,
                batches=batches,
            )

    return Evaluation.of(scenario, rows(), method=chosen.name, objective=measure.name, batch=batch)
