"""Evaluation of an archive: each task's test set under its mask, or its task found first."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from maskstore.archive import MaskArchive
from maskstore.selection import SelectedArchive
from supsup.archives.inference import bank_of
from supsup.archives.tasks import (
    Found,
    OwnImages,
    evaluable,
    handed_over,
    recipe_of,
    remake,
    sources_of,
)
from supsup.evaluation import evaluate_inferred, parse_scenario
from supsup.evaluation.metrics import ContinualMetrics, measure
from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, accuracy
from supsup.inference.methods import Method
from supsup.inference.objectives import Objective
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


def evaluate_archive(
    archive: MaskArchive,
    backbone: Backbone,
    *,
    scenario: str = "GG",
    names: Collection[str] | None = None,
    tasks: Iterable[TaskData] | None = None,
    force: bool = False,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
    mode: str = "image",
    batch: int = EVAL_BATCH,
    data_dir: str | PathLike[str] | None = None,
    on_task: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate an archive on the test sets of all its tasks.

    Args:
        scenario: ``GG``: the task is given; ``GNs``, ``GNu``: it is inferred among all masks, and
            labels are shared or not; ``NNs``: as ``GNs``, over all tasks that the masks were given
            batches of.
        names: only these tasks. They are inferred among all masks, as without it; None for all.
        tasks: data to evaluate on, each under the mask that was trained on them, whatever the name.
            None for those that the archive's recipes remake; masks of other data are skipped.
        data_dir: folder of the data files; of a user's own images their path. Where they are others
            than those of a task, it is skipped, and where no task is left, that is an error.
        force: also on other data than those that the mask of a task's name was trained on.
        method, objective, mode: how it is inferred, see :func:`supsup.inference.find_task`.
        on_task: called with a task's name before it is evaluated.

    Raises:
        InvalidInput: an unknown name, an empty archive, no task that can be remade, or other data
            than a mask was trained on.
        TaskNotFound: a task has no mask.
    """
    told = parse_scenario(scenario)
    backbone.check_archive(archive)
    if tasks is None:
        found, skipped = evaluable(archive, data_dir, names, force=force)
    else:
        found, skipped = iter(handed_over(archive, tasks, force=force)), []
    if told.given:
        rows = (_row(archive, backbone, each, batch, on_task) for each in found)
        evaluation = Evaluation.of(told, rows, method=None, objective=None, batch=batch)
        return replace(evaluation, skipped=tuple(skipped))
    bank = bank_of(archive, backbone)
    data: Iterable[TaskData] = (each.task for each in found)
    owners = bank.names
    if not told.trained_by_name:
        chosen = bank.names if names is None else names
        good = [archive.task(name) for name in bank.names if name in chosen]
        sources = (each for stored in good for each in sources_of(archive, stored))
        data = remake(dict.fromkeys(sources), data_dir, own=OwnImages(data_dir, force=force))
        owners = [recipe_of(archive, archive.task(name)).name for name in bank.names]
    evaluation = evaluate_inferred(
        told,
        bank,
        data,
        owners,
        method=method,
        objective=objective,
        mode=mode,
        batch=batch,
        on_task=on_task,
    )
    return replace(evaluation, skipped=tuple(skipped))


def _row(
    archive: MaskArchive,
    backbone: Backbone,
    found: Found,
    batch: int,
    on_task: Callable[[str], None] | None,
) -> TaskAccuracy:
    name = found.stored.name
    if on_task is not None:
        on_task(name)
    masks, tensors = archive.get(name), archive.tensors(name)
    right = accuracy(backbone, masks, found.task, batch, tensors=tensors)
    return TaskAccuracy(name=name, accuracy=right, task_accuracy=1.0)


def metrics_of_archive(
    archive: MaskArchive, backbone: Backbone, names: Sequence[str], **how: Any
) -> ContinualMetrics:
    """The field's metrics over the archive as it grew, a task after another.

    After each task the archive had the masks that are before it now, and is evaluated with these
    alone: masks never change, so that nothing is forgotten where the task is given; where it is
    inferred, each mask more is one more to be taken for another. ``bytes`` is the share of the file
    that these tasks have.

    Args:
        names: of the tasks to measure, in order of arrival; for T of them T (T + 1) / 2 test sets
            are evaluated.
        how: arguments of :func:`evaluate_archive`, but for names and tasks.

    Raises:
        InvalidInput, TaskNotFound: as :func:`evaluate_archive`.
    """
    arrived = archive.names()
    kept: list[int] = []

    def after(count: int) -> Evaluation:
        there = arrived[: arrived.index(names[count - 1]) + 1]
        then = SelectedArchive(archive, there)
        kept.append(then.file_bytes)
        return evaluate_archive(then, backbone, names=names[:count], **how)

    return replace(measure(names, after), bytes=tuple(kept))
