"""Evaluation of an archive, and inference with its masks."""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from supsup.archives.tasks import recipe_of, remake, sources_of, tasks_of
from supsup.datasets.inputs import load_inputs
from supsup.evaluation import evaluate_gns, evaluate_gnu, evaluate_nns
from supsup.evaluation.score import EVAL_BATCH, Evaluation, evaluate_gg
from supsup.inference import Inference, MaskBank, Progress, infer_in, load_masks
from supsup.inference.mask_source import nobody_looks
from supsup.networks.backbone import Backbone
from supsup.tasks import Task
from supsup.training.metadata import TaskMetadata

SCENARIOS = ("GG", "GNs", "GNu", "NNs")

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
    return MaskBank(backbone, masks, classes=classes, progress=progress)


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
    if scenario not in SCENARIOS:
        raise InvalidInput(
            f"scenario {scenario!r}: expected one of {', '.join(SCENARIOS)} in this release"
        )
    backbone.check_archive(archive)
    if scenario == "NNs":
        return evaluate_nns(
            bank_of(archive, backbone),
            remake(
                dict.fromkeys(r for task in archive for r in sources_of(archive, task)), data_dir
            ),
            [recipe_of(archive, stored).name for stored in archive],
            method=method,
            objective=objective,
            mode=mode,
            batch=batch,
            on_task=on_task,
        )
    if scenario != "GG":
        evaluate = evaluate_gns if scenario == "GNs" else evaluate_gnu
        return evaluate(
            bank_of(archive, backbone),
            tasks_of(archive, data_dir),
            method=method,
            objective=objective,
            mode=mode,
            batch=batch,
            on_task=on_task,
        )

    def pairs() -> Iterator[tuple[Task, dict[str, Any]]]:
        for task in tasks_of(archive, data_dir):
            if on_task is not None:
                on_task(task.name)
            yield task, archive.get(task.name)

    return evaluate_gg(backbone, pairs(), batch)


def infer_file(
    archive: MaskArchive,
    backbone: Backbone,
    data: Path,
    *,
    method: str = "auto",
    objective: str = "auto",
    mode: str = "image",
    progress: Progress = nobody_looks,
) -> Inference:
    """Find the task of the images in a file, and their classes (see :func:`load_inputs`).

    Args:
        progress: called while masks are read and used.

    Raises:
        InvalidInput: an empty archive, or data that its network cannot take.
    """
    first = next(iter(archive), None)
    # What is wrong with the data is said before thousands of masks are read.
    x = None if first is None else load_inputs(data, recipe_of(archive, first).dataset)
    bank = bank_of(archive, backbone, progress)
    assert x is not None  # the bank of an empty archive is refused
    return infer_in(bank, x, method=method, objective=objective, mode=mode)


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
