"""A bar over the tasks of a training, on stderr."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from supsup.errors import TrainingDiverged
from supsup.training.logs import TrainingLog
from supsup.training.progress import Progress


class TrainingBar(TrainingLog):
    """A bar over tasks, which fills with their steps: rate, time left, mean accuracy so far."""

    def __init__(self, tasks: int | None, bar: Bar) -> None:
        """Show it.

        Args:
            tasks: how many there are; None where that is not known.
            bar: what draws it.
        """
        self._bar = bar
        self._shown = self._bar.add_task("training", total=tasks)
        self._parts: dict[str, float] = {}
        self._accuracies: list[float] = []
        self._bar.start()

    def progress(self, progress: Progress) -> None:
        self._parts[progress.name] = progress.step / progress.steps
        self._show(f"{progress.name} loss {progress.loss:.3f}")

    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        self._accuracies.append(metrics["accuracy"])
        self._show(f"{name} trained")

    def diverged(self, failure: TrainingDiverged) -> None:
        if failure.task is not None:
            self._parts[failure.task] = 1.0
        self._show(f"{failure.task} diverged")

    def close(self) -> None:
        self._bar.stop()

    def _show(self, what: str) -> None:
        if self._accuracies:
            what += f", accuracy {sum(self._accuracies) / len(self._accuracies):.4f}"
        self._bar.update(self._shown, completed=sum(self._parts.values()), description=what)


def plain_bar(*, quiet: bool) -> Bar:
    """A bar for who calls the library; it vanishes when done, and a file or pipe gets none."""
    stderr = Console(stderr=True)
    return Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # a task may be called "[red]"
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=quiet or not stderr.is_terminal,
    )
