"""Inference with the masks of an archive: whose data are these, and what are they?"""

import math
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from maskstore import MaskArchive, StoredTask
from supsup.archives.classes import classes_of, labels_of
from supsup.archives.tasks import evaluable, usable
from supsup.datasets.base import levels_of
from supsup.datasets.inputs import (
    LARGEST_INPUT,
    UnlabelledImages,
    read_images,
    read_own_images,
    read_plain,
)
from supsup.inference import Inference, MaskBank, Progress, infer_in, load_masks
from supsup.inference.mask_source import Streamed, nobody_looks
from supsup.inference.methods import Method
from supsup.inference.objectives import Objective
from supsup.inference.ood import are_usual
from supsup.inference.prototypes import (
    FeatureRecipe,
    TaskPrototypes,
    add_prototypes,
    has_prototypes,
)
from supsup.inference.task_tensors import TaskTensors
from supsup.networks.backbone import Backbone
from supsup.tasks import TaskRecipe
from supsup.tasks.arrays import INTEGERS
from supsup.training.metadata import TaskMetadata

_TASKS_ASKED = 16

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
        classes=[classes_of(stored) or 0 for stored in good],
        levels=levels_of_masks(good),
        integers=trained_on_integers(good),
        tensors=TaskTensors.of_archive(backbone, archive, names),
        progress=progress,
        prototypes=TaskPrototypes(archive, backbone, names)
        if good and has_prototypes(archive, names)
        else None,
    )


def measure_prototypes(
    archive: MaskArchive,
    backbone: Backbone,
    recipe: FeatureRecipe | None = None,
    *,
    rebuild: bool = False,
    data_dir: str | PathLike[str] | None = None,
    on_task: Callable[[str], None] = lambda name: None,
) -> int:
    """:func:`supsup.inference.prototypes.add_prototypes` for every task whose data can be remade.

    Args:
        data_dir: folder of the data files.

    Returns:
        How many tasks were measured.

    Raises:
        InvalidInput: as there, or the data of no task can be remade.
        DigestMismatch: the archive's masks are of other weights.
    """
    backbone.check_archive(archive)
    found, _ = evaluable(archive, data_dir)
    tasks = (each.task for each in found)
    return add_prototypes(archive, backbone, tasks, recipe, rebuild=rebuild, on_task=on_task)


def levels_of_masks(stored: list[StoredTask]) -> tuple[float, float] | None:
    """The range of the numbers that masks were trained on; None where one's is not known."""
    found: list[tuple[float | None, float | None]] = []
    for metadata in map(TaskMetadata.of, stored):
        if metadata.data is not None:
            found.append((metadata.data.low, metadata.data.high))
        elif metadata.task and (source := TaskRecipe.from_json(metadata.task).source) is not None:
            found.append(levels_of(source.mean, source.std))
        else:
            return None
    lows = [low for low, _ in found if low is not None]
    highs = [high for _, high in found if high is not None]
    if not found or len(lows) < len(found) or len(highs) < len(found):
        return None  # integers
    return min(lows), max(highs)


def trained_on_integers(stored: list[StoredTask]) -> bool | None:
    """Whether a mask was trained on integers; None where that is not known of any.

    The first ones are asked: masks of one network are of inputs of one type.
    """
    found = [_on_integers(TaskMetadata.of(each)) for each in stored[:_TASKS_ASKED]]
    known = [each for each in found if each is not None]
    return any(known) if known else None


def _on_integers(metadata: TaskMetadata) -> bool | None:
    if metadata.answer is not None:
        return any(kind in INTEGERS for kind in metadata.answer.types)
    if metadata.data is not None:
        return metadata.data.low is None
    return False if metadata.task else None


def infer_file(
    archive: MaskArchive,
    backbone: Backbone,
    data: str | PathLike[str],
    *,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
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
    data = Path(data)
    good, skipped = usable(archive)
    # What is wrong with the data is said before thousands of masks are read.
    read = read_for(good[0], data, largest=largest) if good else None
    bank = bank_of(archive, backbone, progress)
    assert read is not None  # the bank of an empty archive is refused
    found = infer_in(bank, read.images, method=method, objective=objective, mode=mode)
    notes = [read.note, *map(str, skipped)]
    labels = labels_of(archive, found.names, found.predictions.tolist())
    note = "\n".join(filter(None, notes))
    return replace(found, files=read.files, labels=labels, note=note)


def read_for(stored: StoredTask, data: Path, *, largest: int = LARGEST_INPUT) -> UnlabelledImages:
    """Images in a file as a task was trained on them.

    Raises:
        InvalidInput: they cannot be read.
    """
    if not (about := TaskMetadata.of(stored).task):
        integers = bool(trained_on_integers([stored]))
        return read_plain(data, integers=integers, largest=largest)
    recipe = TaskRecipe.from_json(about)
    if recipe.own is not None:
        return read_own_images(data, recipe.own, largest=largest)
    return read_images(data, recipe.dataset, largest=largest)


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
                "label": label,
                "prediction": prediction,
                "known": known,
            }
            for file, name, margin, confidence, label, prediction, known in zip(
                found.files or [None] * len(found.names),
                found.names,
                found.margin.tolist(),
                found.confidence.tolist(),
                labels_of(archive, found.names, found.predictions.tolist()),
                found.predictions.tolist(),
                known_in(archive, found, mode),
                strict=True,
            )
        ],
    }


def known_in(archive: MaskArchive, found: Inference, mode: str = "image") -> list[bool | None]:
    """For each image, whether it is like those of the task that was found for it.

    Where it is not, no task of the archive may be the right one, and the prediction is worth
    nothing. By prototypes where they tell what is usual, else by the free energy under the task's
    mask; None where that was not trained here, so nobody knows what is usual for it.

    Args:
        mode: as in :func:`supsup.inference.find_task`; all images of a batch are judged together.
    """
    if found.strangeness is not None:
        strange = torch.from_numpy(found.strangeness)
        parts = strange.split(1) if mode == "image" else [strange]
        return [are_usual(part, mean=0.0, bar=1.0) for part in parts for _ in part]
    usual = {name: TaskMetadata.of(archive.task(name)).energy for name in set(found.names)}
    energy = torch.from_numpy(found.energy)
    groups = energy.split(1) if mode == "image" else [energy]
    known: list[bool | None] = []
    for group in groups:
        task = usual[found.names[len(known)]]
        known += [None if task is None else task.knows(group)] * len(group)
    return known
