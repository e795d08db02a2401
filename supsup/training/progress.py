"""How far the tasks of a group have come: their mean losses, and which of them diverge."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from supsup.errors import TrainingDiverged
from supsup.training.config import TrainConfig

_REPORT_STEPS = 20
"""Steps between looks at the loss: each look waits for the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where training is: ``step`` of ``steps`` of task ``name`` are done, at mean ``loss``."""

    name: str
    step: int
    steps: int
    loss: float


class LossMeter:
    """The losses of tasks that learn in step, looked at every few steps.

    Attributes:
        means: of each task, over the steps since the look before the last one.
        failures: by the place of a task, why it has no mask.
    """

    def __init__(
        self,
        names: Sequence[str],
        steps: int,
        report: Callable[[Progress], None],
        device: torch.device,
    ) -> None:
        """Begin before the first of ``steps`` steps.

        Args:
            report: told of every task that has not failed, at each look.
            device: where the losses are.
        """
        self.means = [math.nan] * len(names)
        self.failures: dict[int, str] = {}
        self._names, self._steps, self._report = names, steps, report
        self._losses = torch.zeros(len(names), dtype=torch.float32, device=device)
        self._step = self._since = 0

    @property
    def all_failed(self) -> bool:
        """Whether nothing is left to train."""
        return len(self.failures) == len(self._names)

    def add(self, losses: Float32[Tensor, " task"]) -> None:
        """One more step, with the loss of each task in it."""
        self._losses += losses
        self._since += 1
        self._step += 1
        if self._since == _REPORT_STEPS or self._step == self._steps:
            self._look()

    def _look(self) -> None:
        self.means = (self._losses / self._since).tolist()
        self._losses.zero_()
        self._since = 0
        for at, (name, mean) in enumerate(zip(self._names, self.means, strict=True)):
            if at in self.failures:
                continue
            if not math.isfinite(mean):
                self.failures[at] = f"the loss is {mean} at step {self._step} of {self._steps}"
                continue
            self._report(Progress(name=name, step=self._step, steps=self._steps, loss=mean))


def not_finite(scores: dict[str, Tensor], own: dict[str, Tensor]) -> str | None:
    """Why scores, by layer, are no mask's, or tensors no task's; None where they are."""
    for what, tensors in (("scores of layer", scores), ("tensor", own)):
        for name, each in tensors.items():
            if not bool(torch.isfinite(each).all()):
                return f"{what} {name!r} {'are' if what.startswith('s') else 'is'} not finite"
    return None


def diverged(task: str, config: TrainConfig, found: str) -> TrainingDiverged:
    """The error for a task that has no mask.

    Args:
        found: what is not finite.
    """
    return TrainingDiverged(
        f"task {task!r}: {found}; lower the learning rate (now {config.peak_lr:g}) "
        "and check the data for NaN",
        task=task,
    )
