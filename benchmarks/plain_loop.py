"""Training of one task a step at a time: this package's, and what a user would write instead."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supsup import BackboneRecipe, TrainConfig, accuracy, build
from supsup.networks import resnet
from supsup.tasks.protocol import TaskData
from supsup.training.batches import batches_for, sparse_batches_for
from supsup.training.config import start_of
from supsup.training.fused_updates import turned_for, update_of
from supsup.training.gradients import gradients_of
from supsup.training.group import begin, rule_of
from supsup.training.updates import make_optimizer

Result = TypeVar("Result")


class Ours:
    """The package's own training of one task, a step at a time."""

    def __init__(self, recipe: BackboneRecipe, task: TaskData, config: TrainConfig) -> None:
        """Begin where the seed of the configuration says."""
        self.backbone, self.rule = build(recipe), rule_of(config, build(recipe).layout)
        starts = [start_of(config, task.name)]
        begun = begin(self.backbone, self.rule, starts, torch.float32)
        self._buffers = begun.turn(turned_for(self.backbone, torch.float32, self.rule, config))
        self._gradients = gradients_of(self._buffers, self.backbone, starts)
        self._update = update_of(self._buffers, self.backbone, self.rule, config)
        make = sparse_batches_for if self._gradients.sparse else batches_for
        self._batches = make([task], config, self.backbone.device)
        self._config, self._task, self._done = config, task, 0

    def step(self) -> float:
        """One more step; gives its loss."""
        loss = self.gradient(self.batch())
        self.update()
        self._done += 1
        return float(loss)

    def batch(self) -> tuple[Any, Tensor]:
        """The images of the next step, and their labels."""
        return next(self._batches)

    def gradient(self, batch: tuple[Any, Tensor]) -> Tensor:
        """Of the scores, where the update finds it; gives the loss."""
        x, y = batch
        return self._gradients.losses(x, y, step=self._done)

    def update(self) -> None:
        """Move the scores by the gradient that there is."""
        steps = self._config.steps or 1
        self._update.step(self._config.lr_at(self._done, steps), (self._done + 1) / steps)

    def accuracy(self) -> float:
        """On the test images."""
        layers = self._buffers.layers(self._buffers.scores)
        masks = self.rule.masks({name: each[0] for name, each in layers.items()})
        return accuracy(self.backbone, masks, self._task)


class Plain:
    """What a user would write: images as floats in memory, autograd, PyTorch's optimizer."""

    def __init__(
        self,
        recipe: BackboneRecipe,
        task: TaskData,
        config: TrainConfig,
        *,
        data: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Begin at the same scores, where the task is; images come in an order of their own.

        Args:
            data: the task's training images as floats, and their labels, where they are there.
        """
        place = task.device
        self.backbone, self.rule = build(recipe).to(place), rule_of(config, build(recipe).layout)
        start = start_of(config, task.name).draw(self.backbone.layout)
        self._scores = {
            name: torch.from_numpy(s).to(place).requires_grad_() for name, s in start.items()
        }
        x, y = data or task.train_batch(torch.arange(task.train_size, device=place))
        assert isinstance(x, Tensor)
        self.x, self._y = x, y
        self._optimizer = make_optimizer(
            config.optimizer,
            list(self._scores.values()),
            config.peak_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self._generator = torch.Generator().manual_seed(config.seed)
        self._config, self._task, self._done = config, task, 0

    def step(self) -> float:
        """One more step; gives its loss."""
        size = (self._config.batch,)
        indices = torch.randint(len(self._y), size, generator=self._generator).to(self._y.device)
        masks = {name: self.rule.relax(name, s) for name, s in self._scores.items()}
        logits = self.backbone.logits(self.x[indices], masks)
        loss = F.cross_entropy(logits, self._y[indices])
        rate = self._config.lr_at(self._done, self._config.steps or 1)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._done += 1
        return float(loss.detach())

    def accuracy(self) -> float:
        """On the test images."""
        return accuracy(self.backbone, self.rule.masks(self._scores), self._task)


def as_pytorch_does(work: Callable[[], Result]) -> Callable[[], Result]:
    """Residual nets in the order in memory that the images have, with PyTorch's normalisation."""

    def run() -> Result:
        ours = resnet.channels_last, resnet.normalised
        resnet.channels_last, resnet.normalised = (lambda x: x), normalised_by_pytorch
        try:
            return work()
        finally:
            resnet.channels_last, resnet.normalised = ours

    return run


def normalised_by_pytorch(
    norm: nn.BatchNorm2d, x: Tensor, *, add: Tensor | None = None, relu: bool = True
) -> Tensor:
    """What a residual net in PyTorch has in the place of ours."""
    y = norm(x)
    y = y if add is None else y + add
    return F.relu(y) if relu else y
