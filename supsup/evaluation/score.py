"""Scores of predictions on tasks' test sets; and of masks whose task is given (scenario GG)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.notebook import Shown, counted
from maskstore.tensors import TensorValue
from supsup.evaluation.batches import evaluation_batches, whole_batches
from supsup.evaluation.scenarios import GG, Scenario
from supsup.inference.ood import free_energy
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import Batch, map_inputs
from supsup.tasks.checked import train_batch
from supsup.tasks.protocol import TaskData

EVAL_BATCH = 128
"""Test images a forward pass, the paper's. Nets with batch statistics answer by the whole batch,
so their accuracy is that of this batch size, with the images mixed."""

Masks = Mapping[str, Bool[np.ndarray, "..."]]
"""A mask of a task, by layer."""

Tensors = Mapping[str, TensorValue]
"""Tensors of a task, by name."""

_NONE: Tensors = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAccuracy:
    """One row of an evaluation.

    Attributes:
        accuracy: share of test images with the right label.
        task_accuracy: share of batches whose task was found; 1 where the task is given.
    """

    name: str
    accuracy: float
    task_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A mask that could not be evaluated or used, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"skipped {self.name}: {self.reason}"

    def to_json(self) -> dict[str, str]:
        """As JSON."""
        return {"name": self.name, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Evaluation(Shown):
    """A scenario over all tasks; accuracies are the means over tasks."""

    scenario: str
    method: str | None
    objective: str | None
    batch: int
    per_task: tuple[TaskAccuracy, ...]
    skipped: tuple[Skipped, ...] = ()

    def _shown(self) -> str:
        found = f", task accuracy {self.task_accuracy:.4f}" if self.method else ""
        return (
            f"{self.scenario}, {counted(len(self.per_task), 'task')}: accuracy {self.accuracy:.4f}"
            f"{found}{f'; {len(self.skipped):,} skipped' if self.skipped else ''}"
        )

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        rows: Iterable[TaskAccuracy],
        *,
        method: str | None,
        objective: str | None,
        batch: int,
    ) -> "Evaluation":
        """That of some tasks; raises InvalidInput where there is none."""
        per_task = tuple(rows)
        if not per_task:
            raise InvalidInput("evaluation: no tasks; train some first (`supsup-store train`)")
        return cls(
            scenario=scenario.name,
            method=method,
            objective=objective,
            batch=batch,
            per_task=per_task,
        )

    @property
    def accuracy(self) -> float:
        """Mean accuracy; NaN never, an evaluation has at least one task."""
        return sum(row.accuracy for row in self.per_task) / len(self.per_task)

    @property
    def task_accuracy(self) -> float:
        """Mean task accuracy."""
        return sum(row.task_accuracy for row in self.per_task) / len(self.per_task)

    def to_json(self) -> dict[str, Any]:
        """The document of ``eval --json``."""
        return {
            "scenario": self.scenario,
            "method": self.method,
            "objective": self.objective,
            "batch": self.batch,
            "tasks": len(self.per_task),
            "accuracy": self.accuracy,
            "task_accuracy": self.task_accuracy,
            "per_task": [
                {"name": r.name, "accuracy": r.accuracy, "task_accuracy": r.task_accuracy}
                for r in self.per_task
            ],
            "skipped": [each.to_json() for each in self.skipped],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What was said of a batch of images.

    Attributes:
        labels: the class of each image.
        in_task: whether its task was found; None where the task was given.
    """

    labels: Int64[Tensor, " batch"]
    in_task: Bool[Tensor, " batch"] | None = None


def score_task(
    task: TaskData,
    answer: Callable[[Inputs], Answers],
    *,
    backbone: Backbone,
    labels_shared: bool = False,
    batch: int = EVAL_BATCH,
    batches: int | None = None,
) -> TaskAccuracy:
    """Ask for the answers to a task's test images and count the right ones.

    Args:
        answer: from images to answers.
        backbone: what answers; it is asked whether the order of images matters to it.
        labels_shared: whether an answer is right where the label is, whatever task was found.
        batch: images at a time. A rest smaller than half of it joins the batch before, so that
            batch statistics never come from a few images.
        batches: only the first so many; None for all.

    Raises:
        InvalidInput: the task has no test images, or ``batch`` is below 1.
    """
    if batch < 1:
        raise InvalidInput(f"evaluation batch: expected a whole number from 1, got {batch}")
    right = found = torch.zeros((), dtype=torch.int64, device="cpu")
    seen = 0
    for images, labels in islice(evaluation_batches(backbone, task, batch), batches):
        if not len(labels):
            continue
        said = answer(images)
        correct = said.labels == labels.to(said.labels.device)
        in_task = torch.ones_like(correct) if said.in_task is None else said.in_task
        # Sums stay where the answers are: reading them would wait for the device at every batch.
        right = right + (correct if labels_shared else correct & in_task).sum()
        found = found + in_task.sum()
        seen += len(labels)
    if not seen:
        raise InvalidInput(f"task {task.name!r}: no test images")
    return TaskAccuracy(name=task.name, accuracy=int(right) / seen, task_accuracy=int(found) / seen)


def accuracy(
    backbone: Backbone,
    masks: Masks,
    task: TaskData,
    batch: int = EVAL_BATCH,
    *,
    tensors: Tensors = _NONE,
) -> float:
    """Share of the task's test images that the masked backbone labels rightly, 0 to 1.

    Only the task's own classes compete: further outputs belong to no label.

    Args:
        batch: images a forward pass. A rest smaller than half of it joins the batch before, so
            that batch statistics never come from a few images.
        tensors: what the task has of its own beside the mask, as
            :meth:`maskstore.MaskArchive.tensors` gives it.

    Raises:
        InvalidMask: the masks do not fit the backbone.
        InvalidInput: the tensors do not; the task has no test images, or labels the backbone has no
            output for.

    >>> from supsup import BackboneRecipe, TensorTask, build
    >>> backbone = build(BackboneRecipe(net="lenet-300-100", outputs=2, options={"inputs": 1}))
    >>> masks = {name: np.zeros(shape, bool) for name, shape in backbone.layout.shapes.items()}
    >>> task = TensorTask("sign", train=([[-1.0]], [0]), test=([[-1.0], [1.0]], [0, 1]), classes=2)
    >>> accuracy(backbone, masks, task)
    0.5
    """
    return accuracy_and_energy(backbone, masks, task, batch, tensors=tensors)[0]


@plain_modes()
def accuracy_and_energy(
    backbone: Backbone,
    masks: Masks,
    task: TaskData,
    batch: int = EVAL_BATCH,
    *,
    tensors: Tensors = _NONE,
) -> tuple[float, Float[Tensor, " image"]]:
    """:func:`accuracy`, and the free energy of each test image; raises as that does."""
    if batch < 1:
        raise InvalidInput(f"evaluation batch: expected a whole number from 1, got {batch}")
    right = torch.zeros((), dtype=torch.int64, device=backbone.device)
    energies = [torch.zeros(0, dtype=torch.float32, device=backbone.device)]
    batches = evaluation_batches(backbone, task, batch)
    for logits, labels in _class_logits(backbone, masks, tensors, task, batches):
        right += (logits.argmax(1) == labels.to(backbone.device)).sum()
        energies.append(free_energy(logits, task.classes))
    energy = torch.cat(energies)
    if not len(energy):
        raise InvalidInput(f"task {task.name!r}: no test images")
    return int(right) / len(energy), energy


@plain_modes()
def training_energy(
    backbone: Backbone,
    masks: Masks,
    task: TaskData,
    indices: Int64[Tensor, " image"],
    batch: int = EVAL_BATCH,
    *,
    tensors: Tensors = _NONE,
) -> Float[Tensor, " image"]:
    """The free energy of training images of those indices, at least one, ``batch`` at a time."""
    parts = (train_batch(task, each) for each in indices.to(task.device).split(batch))
    logits = _class_logits(backbone, masks, tensors, task, whole_batches(parts, batch))
    return torch.cat([free_energy(each, task.classes) for each, _ in logits])


@torch.no_grad()
def _class_logits(
    backbone: Backbone,
    masks: Masks,
    tensors: Tensors,
    task: TaskData,
    batches: Iterable[Batch],
) -> Iterator[tuple[Float[Tensor, "batch classes"], Int64[Tensor, " batch"]]]:
    """What the masked backbone says of each batch, and its labels."""
    weights = backbone.of_task(masks, tensors)
    for images, labels in batches:
        logits = backbone.run(map_inputs(lambda each: each.to(backbone.device), images), weights)
        check_outputs(logits.shape[1], task)
        yield logits[:, : task.classes], labels


def evaluate_gg(
    backbone: Backbone,
    tasks: Iterable[tuple[TaskData, Masks] | tuple[TaskData, Masks, Tensors]],
    batch: int = EVAL_BATCH,
) -> Evaluation:
    """Scenario GG (paper, section 3.2): each task's test set under its own mask.

    Args:
        tasks: a task, its masks and, where it has any, its tensors, taken one at a time.

    Raises:
        InvalidInput: there is no task, or one cannot be evaluated.
    """
    rows = (
        TaskAccuracy(
            name=task.name,
            accuracy=accuracy(backbone, masks, task, batch, tensors=own[0] if own else _NONE),
            task_accuracy=1.0,
        )
        for task, masks, *own in tasks
    )
    return Evaluation.of(GG, rows, method=None, objective=None, batch=batch)


def check_outputs(outputs: int, task: TaskData) -> None:
    """Raise InvalidInput where a task has more classes than the backbone has outputs."""
    if task.classes > outputs:
        raise InvalidInput(
            f"task {task.name!r} has {task.classes} classes but the backbone {outputs} outputs; "
            f"make the archive with --outputs {task.classes} or more"
        )
