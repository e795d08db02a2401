"""What training leaves of a task: a mask that was tested, or the reason why there is none."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from torch import Tensor

from maskstore.tensors import TensorValue
from supsup.errors import TrainingDiverged
from supsup.evaluation.score import accuracy_and_energy, training_energy
from supsup.inference.ood import EnergyThreshold
from supsup.masking.base import MaskRule
from supsup.networks.answer import Answer, kind_of
from supsup.networks.backbone import Backbone
from supsup.networks.per_task import rounded
from supsup.tasks.checked import test_batches
from supsup.tasks.class_names import class_names_of
from supsup.tasks.fingerprint import Fingerprint
from supsup.tasks.order import held_out_images
from supsup.tasks.protocol import TaskData
from supsup.training.batches import held_out_of
from supsup.training.config import TrainConfig, start_of
from supsup.training.drawn_images import OtherTasks
from supsup.training.metadata import TaskMetadata
from supsup.training.progress import diverged, not_finite
from supsup.training.starts import seeded_start
from supsup.training.transfer import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedMask:
    """What training leaves of one task.

    Attributes:
        name: of the task.
        masks: boolean arrays by layer.
        metrics: ``accuracy`` on the test set, ``loss`` over the last steps, ``density``, ``steps``.
        metadata: JSON of a :class:`supsup.training.metadata.TaskMetadata`, without the metrics.
        tensors: what the task has of its own beside the mask, by name, as an archive keeps it:
            running statistics, and parameters rounded to the type that the configuration names.
        scores: with transfer of scores, those that it ended with, layer after layer.
    """

    name: str
    masks: dict[str, Bool[np.ndarray, "..."]]
    metrics: dict[str, float]
    metadata: dict[str, Any]
    tensors: dict[str, TensorValue] = field(default_factory=dict)
    scores: Float32[np.ndarray, " bits"] | None = None


Outcome = TrainedMask | TrainingDiverged


def trained_masks(
    outcomes: Generator[Outcome | None, None, None],
    diverged: Callable[[TrainingDiverged], None] | None,
) -> Iterator[TrainedMask]:
    """The masks among the outcomes; the others are told to ``diverged``, or raised without one."""
    with closing(outcomes):  # a traceback would hold it, and training would go on
        for outcome in outcomes:
            if isinstance(outcome, TrainedMask):
                yield outcome
            elif outcome is not None:
                tell(outcome, diverged)


def tell(failure: TrainingDiverged, diverged: Callable[[TrainingDiverged], None] | None) -> None:
    """Tell of a task without a mask; raise it where nobody is to be told."""
    if diverged is None:
        raise failure
    diverged(failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Makes the outcomes of tasks that learnt in the same steps.

    Attributes:
        steps: of each task.
        rows: that shared a step.
        earlier: tasks that the transfer was a mean of when training began; None without one.
        others: that outliers were drawn from.
    """

    backbone: Backbone
    rule: MaskRule
    config: TrainConfig
    steps: int
    rows: int
    transfer: Transfer | None
    earlier: int | None
    others: OtherTasks | None = None

    def outcome(
        self,
        task: TaskData,
        flat: Float32[Tensor, " bits"],
        layers: dict[str, Float32[Tensor, "..."]],
        own: dict[str, Shaped[Tensor, "..."]],
        *,
        loss: float,
        failure: str | None,
    ) -> Outcome:
        """That of one task.

        Args:
            flat, layers: the scores that it ended with, in both forms.
            own: the tensors and parameters of the task that it ended with.
            loss: mean over the last steps.
            failure: what was not finite before the end.
        """
        failure = failure or not_finite(layers, own)
        if failure:
            return diverged(task.name, self.config, failure)
        tensors = self._kept(task, own)
        masks = self.rule.masks(layers)
        accuracy, energies = accuracy_and_energy(self.backbone, masks, task, tensors=tensors)
        if not bool(energies.isfinite().all()):
            return diverged(task.name, self.config, "its answers to test images are not finite")
        if self.transfer is not None:
            self.transfer.end(flat, masks)
        ones = sum(int(np.count_nonzero(layer)) for layer in masks.values())
        metadata = TaskMetadata(
            task=None if task.recipe is None else task.recipe.to_json(),
            training=self.config.to_json(),
            scores=seeded_start(self.backbone, start_of(self.config, task.name)),
            energy=self._usual_energy(task, masks, tensors),
            earlier=self.earlier,
            drawn_from=None if self.others is None else len(self.others.beside(task)),
            rows=self.rows if self.rows > 1 else None,
            classes=task.classes,
            class_names=class_names_of(task),
            data=Fingerprint.of(task) if task.recipe is None else None,
            answer=None if self.backbone.ships else self._answer(task, masks, tensors),
        )
        return TrainedMask(
            name=task.name,
            masks=masks,
            metrics={
                "accuracy": accuracy,
                "loss": _six_digits(loss),
                "density": _six_digits(ones / self.backbone.layout.bits),
                "steps": self.steps,
            },
            metadata=metadata.to_json(),
            tensors=tensors,
            scores=flat.cpu().numpy() if self.config.transfer == "scores" else None,
        )

    def _kept(self, task: TaskData, own: dict[str, Tensor]) -> dict[str, TensorValue]:
        """What an archive will keep of a task's tensors, exactly.

        Rows of a head that stand for no class of the task are dropped, but where outliers were
        trained to fall on them.
        """
        parameters = self.backbone.own_parameters
        probed = self.backbone.probed
        heads = probed.heads if probed is not None and not self.config.outliers else ()
        trained = {
            name: own[name][: task.classes] if name in heads else own[name] for name in parameters
        }
        kept: dict[str, TensorValue] = {
            name: own[name].cpu().numpy().copy()
            for name in self.backbone.kept_tensors
            if name not in parameters
        }
        return kept | rounded(parameters, trained, self.config.per_task_dtype)

    def _answer(
        self,
        task: TaskData,
        masks: dict[str, Bool[np.ndarray, "..."]],
        tensors: dict[str, TensorValue],
    ) -> Answer | None:
        """What the network says to inputs like the task's."""
        x, _ = next(iter(test_batches(task, 1, finite=True)))
        return Answer.of(self.backbone, kind_of(x), task.classes, masks, tensors)

    def _usual_energy(
        self,
        task: TaskData,
        masks: dict[str, Bool[np.ndarray, "..."]],
        tensors: dict[str, TensorValue],
    ) -> EnergyThreshold | None:
        """That of training images which training did not see; None where there are none."""
        count = held_out_of(task)
        if not count:
            return None
        images = held_out_images(self.config.seed, task.name, task.train_size, count)
        energy = training_energy(self.backbone, masks, task, images, tensors=tensors)
        return EnergyThreshold.of(energy)


def _six_digits(figure: float) -> float:
    """Every further digit would cost its bytes in every task of an archive."""
    return float(f"{figure:.6g}")
