"""A bar over the tasks of a training: on stderr, or in the output of a notebook's cell."""

import sys
from collections.abc import Mapping
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from supsup.errors import TrainingDiverged
from supsup.training.logs import TrainingLog
from supsup.training.progress import Progress

_REDRAWN_SECONDS = 0.2
"""Between two drawings in a notebook."""


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


class NotebookBar(Bar):
    """A bar in the output of a notebook's cell, where it stays, with the time that all took.

    Rich's own needs ipywidgets there, and is not in a notebook that was saved.
    """

    def __init__(self) -> None:
        """Show it in the cell that runs."""
        from IPython import display

        super().__init__(disable=True)
        self._html = display.HTML
        self._shown = display.display(display.HTML(""), display_id=True)
        self._last = 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As of a bar; drawn no more often than it can be read."""
        super().update(task_id, **changes)
        if self.get_time() - self._last >= _REDRAWN_SECONDS:
            self._draw()

    def stop(self) -> None:
        """Draw it as it ended."""
        super().stop()
        self._draw()

    def _draw(self) -> None:
        self._last = self.get_time()
        self._shown.update(self._html("".join(map(_as_html, self.tasks))))


def _as_html(task: Task) -> str:
    done, total, elapsed = task.completed, task.total, task.elapsed or 0.0
    filled = f'<progress value="{done:.3f}" max="{total or 1}"></progress>'
    counted = f"{done:.4g} of {total:g}" if total else f"{done:.4g}"
    took = f"{elapsed:.0f} s"
    if total and 0 < done < total:
        took += f", {elapsed * (total - done) / done:.0f} s left"
    return f"<p>{filled} {counted} in {took}: {escape(task.description)}</p>"


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this; IPython is not imported to find out."""
    found = sys.modules.get("IPython")
    shell = None if found is None else found.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


def plain_bar(*, quiet: bool) -> Bar:
    """A bar for who calls the library; it vanishes when done, and a file or pipe gets none."""
    if in_notebook() and not quiet:
        return NotebookBar()
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
