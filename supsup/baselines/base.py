"""The family of baselines: continual learners that the paper compares SupSup with, and how each is
trained on each of its tasks.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_positive
from maskstore.registry import check_one_of
from maskstore.seeded.streams import parse_seed
from supsup.choices import BaselineOptimizerName
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.networks.statistics import check_masks_suffice
from supsup.tasks.protocol import TaskData
from supsup.training.config import SCHEDULES, parse_length, set_fields, steps_of

OPTIMIZERS: tuple[str, ...] = get_args(BaselineOptimizerName)

DEFAULT_LR = {"adam": 1e-3, "rmsprop": 1e-4, "sgd": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineConfig:
    """How dense weights are trained on one task after another.

    Attributes:
        steps: optimisation steps a task. Exactly one of ``steps`` and ``epochs`` is given.
        epochs: passes over the training set; the last batch is filled from the next pass.
        batch: images a step.
        optimizer: ``adam``, ``rmsprop`` or ``sgd`` with momentum 0.9, each with PyTorch's other
            defaults; every task begins with a new one.
        lr: learning rate at the first step; None takes the optimizer's own (``DEFAULT_LR``).
        schedule: ``constant``, or ``cosine`` from the rate to 0 over the steps of a training.
        seed: of the order of images, of the heads, and of what a method draws.

    Raises:
        InvalidInput: a field cannot be used; the message names it.
    """

    steps: int | None = None
    epochs: int | None = None
    batch: int = 128
    optimizer: str = "adam"
    lr: float | None = None
    schedule: str = "constant"
    seed: int = 0

    def __post_init__(self) -> None:
        set_fields(self, **parse_length(self.steps, self.epochs, self.batch))
        check_one_of("optimizer", self.optimizer, OPTIMIZERS)
        check_one_of("schedule", self.schedule, SCHEDULES)
        lr = DEFAULT_LR[self.optimizer] if self.lr is None else self.lr
        set_fields(self, lr=parse_positive("lr", lr), seed=parse_seed(self.seed))

    @property
    def rate(self) -> float:
        """``lr`` as the number that it is once the configuration is made."""
        assert self.lr is not None
        return self.lr

    def steps_for(self, train_size: int) -> int:
        """Optimisation steps for a task of that many training images."""
        return steps_of(self.steps, self.epochs, self.batch, train_size)


Weights = Mapping[str, Tensor]
"""Tensors by the names of a module's parameters."""


class Baseline(ABC):
    """A continual learner: tasks come one after another, and their names are known (GG).

    Training a task that diverges leaves the baseline as it was before.

    Modules run in evaluation mode, in training, too, as under masks: dropout drops nothing. Batch
    normalisation goes by the statistics of the batch at hand, and has no running ones
    (:func:`supsup.networks.weights.freeze`); what other modules keep in buffers stays as it was
    handed in.

    Attributes:
        name: in :data:`supsup.baselines.BASELINES`.
        methods: names of the ways to find the task of images that apply to it, the usual one first,
            see :func:`supsup.baselines.evaluate_baseline`.
        backbone: the layers and, from its seed, the weights that training starts from. It is
            never written to.
    """

    name: ClassVar[str]
    methods: ClassVar[tuple[str, ...]] = ("exhaustive", "logits")

    def __init__(self, backbone: Backbone, config: BaselineConfig) -> None:
        """A baseline that has learnt nothing.

        Args:
            backbone: such as ``build(BackboneRecipe(net="lenet-300-100", outputs=10,
                init="kaiming-normal"))``; the device it is on is where all is computed.
        """
        check_masks_suffice(backbone, f"baseline {self.name}")
        self.backbone = backbone
        self.config = config
        self._classes: dict[str, int] = {}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks learnt so far, in their order."""
        return tuple(self._classes)

    @plain_modes()
    def learn(self, task: TaskData) -> float:
        """Train on one task.

        Returns:
            The mean loss of the last steps (:data:`supsup.baselines.training.LAST_STEPS`).

        Raises:
            InvalidInput: a task of that name was learnt before, it has no images, or the network
                does not take it.
            TrainingDiverged: the loss or a weight is not finite.
        """
        if task.name in self._classes:
            raise InvalidInput(
                f"task {task.name!r}: {self.name} has learnt it already, expected a new name; "
                "make a new baseline to begin again"
            )
        if not task.train_size:
            raise InvalidInput(f"task {task.name!r}: no training images")
        loss = self._learn(task)
        self._classes[task.name] = task.classes
        return loss

    def logits(
        self, task: str, images: Float[Tensor, "image ..."]
    ) -> Float[Tensor, "image classes"]:
        """Outputs of a learnt task's classes, without gradients; the largest is the answer.

        Raises:
            InvalidInput: the task was not learnt, or the network does not take the images.
        """
        return self.outputs(task, images)[:, : self.classes(task)]

    @plain_modes()
    def outputs(
        self, task: str, images: Float[Tensor, "image ..."]
    ) -> Float[Tensor, "image outputs"]:
        """All outputs for a learnt task, those of its classes first; as :meth:`logits`."""
        self.classes(task)
        with torch.no_grad():
            return self._logits(task, images.to(self.backbone.device))

    def classes(self, task: str) -> int:
        """How many a learnt task has; raises InvalidInput on another."""
        if task not in self._classes:
            learnt = ", ".join(self._classes) or "none"
            raise InvalidInput(
                f"task {task!r}: {self.name} has not learnt it; expected one of: {learnt}"
            )
        return self._classes[task]

    def superposed(
        self, shares: Float[Tensor, " task"], images: Float[Tensor, "image ..."]
    ) -> Float[Tensor, "image outputs"]:
        """Outputs of what all learnt tasks have of their own, each with its share (paper, section
        3.3, where the shares are α); gradients reach them.

        Raises:
            InvalidInput: ``one-shot`` is not among its methods.
        """
        raise InvalidInput(f"method one-shot: {self.name} has nothing to superpose")

    @abstractmethod
    def bytes(self) -> int:
        """What must be kept to answer for the tasks learnt so far and to learn further ones.

        Every tensor counts in full (4 bytes a number), except what the backbone's or the
        configuration's seed gives back.
        """

    @abstractmethod
    def _learn(self, task: TaskData) -> float:
        """Train on a task of a new name and keep what it leaves, unless it diverges."""

    @abstractmethod
    def _logits(
        self, task: str, images: Float[Tensor, "image ..."]
    ) -> Float[Tensor, "image outputs"]:
        """Outputs for a learnt task, those of its classes first."""


def bytes_of(*tensors: Weights | Iterable[Tensor] | Tensor) -> int:
    """Bytes of all tensors in mappings and sequences of them."""
    total = 0
    for part in tensors:
        if isinstance(part, Tensor):
            total += part.numel() * part.element_size()
        else:
            total += bytes_of(*(part.values() if isinstance(part, Mapping) else part))
    return total


def sum_of(shares: Float[Tensor, " task"], tensors: Sequence[Tensor]) -> Tensor:
    """Σ share · tensor, over tasks."""
    return torch.tensordot(shares, torch.stack(list(tensors)), dims=1)
