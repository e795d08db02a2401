"""Evaluation of an archive, and inference with its masks."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from maskstore.archive import MaskArchive, StoredTask
from supsup.archives.tasks import (
    Found,
    classes_of,
    evaluable,
    handed_over,
    recipe_of,
    remake,
    sources_of,
    usable,
)
from supsup.datasets.base import levels_of
from supsup.datasets.catalog import SOURCES
from supsup.datasets.inputs import LARGEST_INPUT, UnlabelledImages, read_images, read_plain
from supsup.evaluation import evaluate_inferred, parse_scenario
from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, accuracy
from supsup.inference import Inference, MaskBank, Progress, infer_in, load_masks
from supsup.inference.mask_source import Streamed, nobody_looks
from supsup.networks.backbone import Backbone
from supsup.tasks import TaskRecipe
from supsup.tasks.protocol import TaskData
from supsup.training.metadata import TaskMetadata

IN_MEMORY_BYTES = 1 << 30
"""Archives with more packed masks than this are streamed in inference, block by block."""


def bank_of(
    archive: MaskArchive, backbone: Backbone, progress: Progress = nobody_looks
) -> MaskBank:
    """The masks of an archive, ready for inference; in memory if they are few enough.

    Args:
        progress: called while masks are read and used.

    Raises:
        InvalidInput: the archive is empty, or no mask says how many classes it is for; those that
            do not are left out.
        DigestMismatch: the archive's masks are of other weights, here and below.
    """
    backbone.check_archive(archive)
    good, _ = usable(archive)
    names = [stored.name for stored in good]
    small = len(good) * archive.layout.packed_bytes <= IN_MEMORY_BYTES
    masks = load_masks(archive, progress, names) if small and good else Streamed(archive, names)
    return MaskBank(
        backbone,
        masks,
        classes=max((classes_of(stored) or 0 for stored in good), default=None),
        levels=_levels(good),
        progress=progress,
    )


def _levels(stored: list[StoredTask]) -> tuple[float, float] | None:
    """The range of the numbers that masks were trained on; None where one's is not known."""
    found: list[tuple[float | None, float | None]] = []
    for metadata in map(TaskMetadata.of, stored):
        if metadata.data is not None:
            found.append((metadata.data.low, metadata.data.high))
        elif metadata.task and metadata.task.get("dataset") in SOURCES:
            source = SOURCES[metadata.task["dataset"]]
            found.append(levels_of(source.mean, source.std))
        else:
            return None
    lows = [low for low, _ in found if low is not None]
    highs = [high for _, high in found if high is not None]
    if not found or len(lows) < len(found) or len(highs) < len(found):
        return None  # integers
    return min(lows), max(highs)


def evaluate_archive(
    archive: MaskArchive,
    backbone: Backbone,
    *,
    scenario: str = "GG",
    tasks: Iterable[TaskData] | None = None,
    force: bool = False,
    method: str = "auto",
    objective: str = "auto",
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
        tasks: data to evaluate on, each under the mask that was trained on them, whatever the name.
            None for those that the archive's recipes remake; masks of other data are skipped.
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
        found, skipped = evaluable(archive, data_dir)
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
        good = [archive.task(name) for name in bank.names]
        sources = (each for stored in good for each in sources_of(archive, stored))
        data = remake(dict.fromkeys(sources), data_dir)
        owners = [recipe_of(archive, stored).name for stored in good]
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
    right = accuracy(backbone, archive.get(name), found.task, batch)
    return TaskAccuracy(name=name, accuracy=right, task_accuracy=1.0)


def infer_file(
    archive: MaskArchive,
    backbone: Backbone,
    data: Path,
    *,
    method: str = "auto",
    objective: str = "auto",
    mode: str = "image",
    largest: int = LARGEST_INPUT,
    progress: Progress = nobody_looks,
) -> Inference:
    """Find the task of the images in a file, and their classes (see :func:`read_images`).

    Args:
        largest: bytes that the images may take once unpacked.
        progress: called while masks are read and used.

    Raises:
        InvalidInput: an empty archive, or data that its network cannot take.
    """
    good, skipped = usable(archive)
    # What is wrong with the data is said before thousands of masks are read.
    read = _read(data, good[0], largest) if good else None
    bank = bank_of(archive, backbone, progress)
    assert read is not None  # the bank of an empty archive is refused
    found = infer_in(bank, read.images, method=method, objective=objective, mode=mode)
    notes = [read.note, *map(str, skipped)]
    return replace(found, files=read.files, note="\n".join(filter(None, notes)))


def _read(data: Path, stored: StoredTask, largest: int) -> UnlabelledImages:
    recipe = TaskMetadata.of(stored).task
    if recipe:
        return read_images(data, TaskRecipe.from_json(recipe).dataset, largest=largest)
    return read_plain(data, largest=largest)


def inference_json(archive: MaskArchive, found: Inference, mode: str = "image") -> dict[str, Any]:
    """The document of ``infer --json``; ``known`` of each image is that of :func:`known_in`."""
    return {
        "method": found.method,
        "objective": found.objective,
        "mode": mode,
        "reason": found.reason or None,
        "images": [
            {
                "file": file,
                "task": name,
                # One mask has no second to be ahead of.
                "margin": margin if math.isfinite(margin) else None,
                "confidence": confidence,
                "prediction": prediction,
                "known": known,
            }
            for file, name, margin, confidence, prediction, known in zip(
                found.files or [None] * len(found.names),
                found.names,
                found.margin.tolist(),
                found.confidence.tolist(),
                found.predictions.tolist(),
                known_in(archive, found, mode),
                strict=True,
            )
        ],
    }


def known_in(archive: MaskArchive, found: Inference, mode: str = "image") -> list[bool | None]:
    """For each image, whether it is like those of the task that was found for it.

    Where it is not, no task of the archive may be the right one, and the prediction is worth
    nothing. None where the mask was not trained here, so nobody knows what is usual for it.

    Args:
        mode: as in :func:`supsup.inference.find_task`; all images of a batch are judged together.
    """
    usual = {name: TaskMetadata.of(archive.task(name)).energy for name in set(found.names)}
    energy = torch.from_numpy(found.energy)
    groups = energy.split(1) if mode == "image" else [energy]
    known: list[bool | None] = []
    for group in groups:
        task = usual[found.names[len(known)]]
        known += [None if task is None else task.knows(group)] * len(group)
    return known
