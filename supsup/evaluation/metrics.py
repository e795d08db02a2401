"""The field's metrics of learning task after task, from one matrix of accuracies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from maskstore.errors import InvalidInput
from maskstore.notebook import Shown, counted
from supsup.evaluation.score import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ContinualMetrics(Shown):
    """Accuracies while tasks arrive one after another, and what the field makes of them.

    Row i of the matrix is measured after task i was learnt, column j on the test set of task j,
    0 to 1; NaN where nothing could answer, as before a task has a mask. T tasks, counted from 1:

    - ``average_accuracy``: 1/T Σ_j R[T, j] (Lopez-Paz and Ranzato, 2017, "Gradient Episodic Memory
      for Continual Learning", section 2).
    - ``backward_transfer``: 1/(T-1) Σ_{j<T} (R[T, j] - R[j, j]) (the same): negative where later
      tasks harm earlier ones.
    - ``forward_transfer``: 1/(T-1) Σ_{j>1} (R[j-1, j] - b_j) (the same): what a task gains from
      those before it, over b_j, the accuracy of an untrained network.
    - ``forgetting``: 1/(T-1) Σ_{j<T} (max_{j≤l<T} R[l, j] - R[T, j]) (Chaudhry et al., 2018,
      "Riemannian Walk for Incremental Learning", eq. 3).

    Attributes:
        names: of the tasks, in the order in which they were learnt.
        matrix: R.
        untrained: b; NaN where it was not measured.
        task_accuracy: share of test images whose task was found, once the last is learnt; None
            where it is given.
        bytes: what is kept after each task, to answer and to learn further ones; None if unknown.
        seconds: of learning each task; None if it was not measured.

    >>> metrics = ContinualMetrics(
    ...     names=("a", "b"),
    ...     matrix=np.array([[0.9, 0.6], [0.7, 0.8]]),
    ...     untrained=np.array([0.5, 0.5]),
    ... )
    >>> metrics.average_accuracy, round(metrics.forgetting, 3), round(metrics.backward_transfer, 3)
    (0.75, 0.2, -0.2)
    >>> round(metrics.forward_transfer, 3)
    0.1
    """

    names: tuple[str, ...]
    matrix: Float64[np.ndarray, "after on"]
    untrained: Float64[np.ndarray, " on"]
    task_accuracy: float | None = None
    bytes: tuple[int, ...] | None = None
    seconds: tuple[float, ...] | None = None

    def _shown(self) -> str:
        told = f"{counted(len(self.names), 'task')}: average accuracy {self.average_accuracy:.4f}"
        return told if self.forgetting is None else f"{told}, forgetting {self.forgetting:.4f}"

    def __post_init__(self) -> None:
        count = len(self.names)
        if not count or self.matrix.shape != (count, count) or self.untrained.shape != (count,):
            raise InvalidInput(
                f"metrics: expected accuracies of shape {(count, count)} and {(count,)} for "
                f"{count} tasks, got {self.matrix.shape} and {self.untrained.shape}"
            )
        lower = self.matrix[np.tril_indices(count)]
        if np.isnan(lower).any():
            raise InvalidInput("metrics: a task that was learnt has no accuracy")

    @property
    def average_accuracy(self) -> float:
        """Mean accuracy on all tasks once the last is learnt."""
        return float(self.matrix[-1].mean())

    @property
    def forgetting(self) -> float | None:
        """How far each task has fallen below its best; None for a single task."""
        if len(self.names) == 1:
            return None
        best = np.array([self.matrix[at:-1, at].max() for at in range(len(self.names) - 1)])
        return float((best - self.matrix[-1, :-1]).mean())

    @property
    def backward_transfer(self) -> float | None:
        """How far each task has changed since it was learnt; None for a single task."""
        if len(self.names) == 1:
            return None
        return float((self.matrix[-1] - self.matrix.diagonal())[:-1].mean())

    @property
    def forward_transfer(self) -> float | None:
        """None for a single task, or where nothing answers for a task that was not learnt yet."""
        ahead = self.matrix.diagonal(1) - self.untrained[1:]
        return float(ahead.mean()) if len(ahead) and not np.isnan(ahead).any() else None

    def to_json(self) -> dict[str, Any]:
        """The ``metrics`` of ``eval --metrics --json``; null where nothing was measured."""
        rows = [[None if np.isnan(each) else each for each in row] for row in self.matrix.tolist()]
        return {
            "tasks": list(self.names),
            "accuracy_matrix": rows,
            "average_accuracy": self.average_accuracy,
            "forgetting": self.forgetting,
            "backward_transfer": self.backward_transfer,
            "forward_transfer": self.forward_transfer,
            "task_accuracy": self.task_accuracy,
            "bytes": None if self.bytes is None else list(self.bytes),
            "seconds": None if self.seconds is None else list(self.seconds),
        }

    def rows(self) -> tuple[list[str], list[list[Any]]]:
        """Headings and rows of the matrix as a table: the task that was learnt, what it cost, and
        the accuracy on each; None where nothing was measured."""
        costs = {"bytes": self.bytes, "seconds": self.seconds}
        known = {name: values for name, values in costs.items() if values is not None}
        table = [
            [name, *(values[at] for values in known.values()), *accuracies]
            for at, (name, accuracies) in enumerate(
                zip(self.names, self.to_json()["accuracy_matrix"], strict=True)
            )
        ]
        return ["after", *known, *self.names], table


def measure(names: Sequence[str], after: Callable[[int], Evaluation]) -> ContinualMetrics:
    """The metrics of tasks that only answer once they are learnt.

    Args:
        names: in the order in which they are learnt.
        after: evaluates the first tasks, so many, once they and no others are learnt; called with
            1, 2, … in this order.

    Raises:
        InvalidInput: an evaluation lacks one of its tasks.
    """
    matrix = np.full((len(names), len(names)), np.nan)
    found_tasks: float | None = None
    for at in range(len(names)):
        evaluation = after(at + 1)
        found_tasks = None if evaluation.scenario == "GG" else evaluation.task_accuracy
        found = {row.name: row.accuracy for row in evaluation.per_task}
        for on, name in enumerate(names[: at + 1]):
            if name not in found:
                raise InvalidInput(f"metrics: task {name!r} was not evaluated")
            matrix[at, on] = found[name]
    return ContinualMetrics(
        names=tuple(names),
        matrix=matrix,
        untrained=np.full(len(names), np.nan),
        task_accuracy=found_tasks,
    )
