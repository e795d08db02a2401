"""Evaluation of an archive, and inference with its masks."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from maskstore.archive import MaskArchive
from supsup.archives.tasks import recipe_of, remake, sources_of, tasks_of
from supsup.datasets.base import levels_of
from supsup.datasets.catalog import find_source
from supsup.datasets.inputs import LARGEST_INPUT, read_images
from supsup.evaluation import evaluate_inferred, parse_scenario
from supsup.evaluation.score import EVAL_BATCH, Evaluation, evaluate_gg
from supsup.inference import Inference, MaskBank, Progress, infer_in, load_masks
from supsup.inference.mask_source import nobody_looks
from supsup.networks.backbone import Backbone
from supsup.tasks import Task
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
        InvalidInput: the archive is empty, or a mask has no recipe of its task.
        DigestMismatch: the archive's masks are of other weights, here and below.
    """
    backbone.check_archive(archive)
    classes = max((recipe_of(archive, task).class_count for task in archive), default=None)
    small = len(archive) * archive.layout.packed_bytes <= IN_MEMORY_BYTES
    masks = load_masks(archive, progress) if small and len(archive) else archive
    source = find_source(recipe_of(archive, next(iter(archive))).dataset) if len(archive) else None
    levels = None if source is None else levels_of(source.mean, source.std)
    return MaskBank(backbone, masks, classes=classes, levels=levels, progress=progress)


def evaluate_archive(
    archive: MaskArchive,
    backbone: Backbone,
    *,
    scenario: str = "GG",
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
        method, objective, mode: how it is inferred, see :func:`supsup.inference.find_task`.
        on_task: called with a task's name before it is evaluated.

    Raises:
        InvalidInput: an unknown name, an empty archive, or a task that cannot be remade.
    """
    told = parse_scenario(scenario)
    backbone.check_archive(archive)
    if told.given:
        return evaluate_gg(backbone, _with_masks(archive, data_dir, on_task), batch)
    bank = bank_of(archive, backbone)
    tasks, owners = tasks_of(archive, data_dir), bank.names
    if not told.trained_by_name:
        sources = (each for stored in archive for each in sources_of(archive, stored))
        tasks = remake(dict.fromkeys(sources), data_dir)
        owners = [recipe_of(archive, stored).name for stored in archive]
    return evaluate_inferred(
        told,
        bank,
        tasks,
        owners,
        method=method,
        objective=objective,
        mode=mode,
        batch=batch,
        on_task=on_task,
    )


def _with_masks(
    archive: MaskArchive,
    data_dir: str | PathLike[str] | None,
    on_task: Callable[[str], None] | None,
) -> Iterator[tuple[Task, dict[str, Bool[np.ndarray, "..."]]]]:
    for task in tasks_of(archive, data_dir):
        if on_task is not None:
            on_task(task.name)
        yield task, archive.get(task.name)


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
    first = next(iter(archive), None)
    # What is wrong with the data is said before thousands of masks are read.
    read = (
        None
        if first is None
        else read_images(data, recipe_of(archive, first).dataset, largest=largest)
    )
    bank = bank_of(archive, backbone, progress)
    assert read is not None  # the bank of an empty archive is refused
    found = infer_in(bank, read.images, method=method, objective=objective, mode=mode)
    return replace(found, files=read.files, note=read.note)


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
