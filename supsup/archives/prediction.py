"""Classes under the masks of tasks that are named, and a task as an ordinary module."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from maskstore.notebook import Shown, counted, first_names
from supsup.archives.classes import label_of
from supsup.archives.inference import read_for
from supsup.archives.served import TaskWeights
from supsup.inference.find_task import check_levels, check_type, takes_integers
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.networks.neighbours import NeedsNeighbours, mixes_images, normalises_by_batch
from supsup.networks.per_task import fit_heads
from supsup.networks.probe import probe, require_neighbours
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import count_of, map_inputs, parse_inputs, split_inputs
from supsup.training.metadata import TaskMetadata

_AT_A_TIME = 1024
"""Images a forward pass, where none looks at another."""

_ROWS_ALONE = 128
"""Rows of a task from which a matrix product of its own is quicker than bits row by row, where
several tasks are asked for at once."""

_ROWS_BY_BITS = 16
"""Rows of one task up to which its bits are as quick as weights that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Predictions(Shown):
    """What the masks of named tasks say of images; every member has one entry an image.

    Attributes:
        tasks: the task that was named.
        predictions: the class, a number from 0.
        labels: what the class is called; None where that is not known.
        probabilities: of that class among the task's own, by the softmax.
    """

    tasks: tuple[str, ...]
    predictions: Int64[np.ndarray, " batch"]
    labels: tuple[str | None, ...]
    probabilities: Float32[np.ndarray, " batch"]

    def _shown(self) -> str:
        asked = list(dict.fromkeys(self.tasks))
        return f"{counted(len(self.tasks), 'image')} of {counted(len(asked), 'task')}: " + (
            first_names(asked)
        )


@plain_modes()
def predict_with(
    archive: MaskArchive,
    backbone: Backbone,
    images: Any,
    tasks: str | Sequence[str],
    *,
    weights: TaskWeights | None = None,
) -> Predictions:
    """Predict the classes of images whose tasks are known.

    Outputs behind a task's classes have no part. All images of a task run together, apart from
    those of others: a network that takes statistics of the batch takes them of one task.

    Args:
        images: as the tasks were trained on, normalised alike: a tensor, array or list, or a tuple
            or dict of those where the network takes several; or the path of a file or folder of
            pictures, read as the first task's.
        tasks: the name of each image's task, or one for all.
        weights: of this archive and backbone, which keep what is asked for again; None reads anew.

    Raises:
        TaskNotFound: there is no such task.
        InvalidInput: no images, not as many names, a mask that does not say how many classes it
            is for, or data that the network does not take.
        DigestMismatch: the archive's masks are of other weights.
    """
    backbone.check_archive(archive)
    weights = TaskWeights(archive, backbone) if weights is None else weights
    if isinstance(images, str | PathLike):
        first = archive.task(tasks if isinstance(tasks, str) else next(iter(tasks), ""))
        images = read_for(first, Path(images)).images
    x = parse_inputs(images, "data")
    count = count_of(x)
    if not isinstance(tasks, Iterable):
        raise InvalidInput(f"tasks: expected the name of a task or several, got {tasks!r:.80}")
    names = (tasks,) * count if isinstance(tasks, str) else tuple(tasks)
    if not count or len(names) != count:
        raise InvalidInput(
            f"data: expected at least one image and the name of a task for each, or one for all, "
            f"got {count} images and {len(names)} names"
        )
    # All is asked for, and refused, before anything is answered.
    facts = {name: weights.facts(name) for name in dict.fromkeys(names)}
    x = map_inputs(lambda each: each.to(backbone.device), x)
    rows_of: dict[str, list[int]] = {name: [] for name in facts}
    for row, name in enumerate(names):
        rows_of[name].append(row)
    for name, rows in rows_of.items():
        if isinstance(x, Tensor):
            check_type("data", x, takes_integers(backbone, facts[name].integers))
        if (levels := facts[name].levels) is not None:
            check_levels(map_inputs(lambda each, rows=rows: each[rows], x), *levels)  # type: ignore[misc]
    predictions, sure = np.empty(count, np.int64), np.empty(count, np.float32)
    if len(facts) > 1:
        few = count < _ROWS_ALONE * len(facts)
    else:
        # Only then, as the kernel's first call takes long, where numba has to be imported.
        few = count <= _ROWS_BY_BITS and weights.needs_making(names[0])
    mixed = weights.logits_of_rows(x, names) if few else None
    if mixed is not None:
        for name in facts:
            _require_outputs(archive, name, facts[name].classes, mixed.shape[1])
        classes = np.array([facts[name].classes for name in names])
        spare = np.arange(mixed.shape[1]) >= classes[:, None]
        none = torch.from_numpy(spare).to(mixed.device)
        best = mixed.masked_fill_(none, -torch.inf).softmax(1).max(1)
        predictions[:], sure[:] = best.indices.cpu().numpy(), best.values.cpu().numpy()
        rows_of.clear()
    for name, rows in rows_of.items():
        chosen = torch.tensor(rows, dtype=torch.int64, device=backbone.device)
        own = map_inputs(lambda each, chosen=chosen: each.index_select(0, chosen), x)  # type: ignore[misc]
        best = _logits(weights, own, name, facts[name].classes).softmax(1).max(1)
        predictions[rows] = best.indices.cpu().numpy()
        sure[rows] = best.values.cpu().numpy()
    labels = tuple(
        label_of(facts[name].class_names, prediction)
        for name, prediction in zip(names, predictions.tolist(), strict=True)
    )
    return Predictions(
        tasks=names,
        predictions=predictions,
        labels=labels,
        probabilities=sure,
    )


@plain_modes()
def module_of(archive: MaskArchive, backbone: Backbone, task: str) -> nn.Module:
    """A task as an ordinary module, on the backbone's device, in evaluation mode.

    Its weights are W ⊙ M, its running statistics and per-task parameters the task's, so that it
    gives the logits that the masked network gives, those of spare outputs among them. It is a copy:
    nothing that is done to it reaches the archive.

    In evaluation mode it refuses one image alone, by InvalidInput, where the network takes
    statistics of the batch, as :func:`predict_with` does.

    Raises:
        TaskNotFound, CorruptArchive: as :meth:`MaskArchive.get`.
        DigestMismatch: the archive's masks are of other weights.
    """
    backbone.check_archive(archive)
    effective = backbone.of_task(archive.get(task), archive.tensors(task))
    module = copy.deepcopy(backbone.module)
    fit_heads(module, effective)
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, values in effective.items():
            own[name].copy_(values)
    if not backbone.ships and _mixes_images(archive, backbone, task):  # those refuse it themselves
        refuse = NeedsNeighbours(f"module of task {task!r}")
        module.register_forward_pre_hook(refuse, with_kwargs=True)
    return module.requires_grad_()


def _mixes_images(archive: MaskArchive, backbone: Backbone, task: str) -> bool:
    """Whether answers depend on the images beside, said without any: a network that has seen none
    here is asked on made-up ones, of the kind that the task was trained on, or its layers tell."""
    if backbone.probed is not None:
        return backbone.probed.mixes_images
    answer = TaskMetadata.of(archive.task(task)).answer
    if answer is None:
        return normalises_by_batch(backbone.module)
    x = map_inputs(lambda each: each.to(backbone.device), answer.made_up())
    return mixes_images(lambda rows: backbone.run(rows, backbone.weights), x)


def _logits(
    known: TaskWeights, x: Inputs, task: str, classes: int
) -> Float32[Tensor, "batch classes"]:
    """Those of the task's own classes."""
    archive, backbone, weights = known.archive, known.backbone, known.of(task)
    count = count_of(x)
    with torch.no_grad():
        require_neighbours(backbone, x, f"data of task {task!r}")
        size = count if probe(backbone, x).mixes_images else _AT_A_TIME
        parts = [backbone.run(some, weights) for some in split_inputs(x, size)]
    logits = torch.cat(parts).float()
    _require_outputs(archive, task, classes, logits.shape[1])
    return logits[:, :classes]


def _require_outputs(archive: MaskArchive, task: str, classes: int, outputs: int) -> None:
    if classes > outputs:
        raise InvalidInput(
            f"{archive.path}: task {task!r} is said to have {classes} classes, the network "
            f"has {outputs} outputs"
        )
