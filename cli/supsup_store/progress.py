"""How far a command is, on stderr: a bar on a terminal, elsewhere a line now and then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from supsup_store import console
from supsup_store.console import print_note, printable

LINE_SECONDS = 30.0
"""Between two lines of progress where nobody sees a bar."""


@contextmanager
def task_progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A bar that is advanced by calling what it yields with the name of a task that is done."""
    with progress_bar(quiet=quiet) as bar:
        shown = bar.add_task(what, total=total)
        yield lambda name: bar.update(shown, advance=1, description=f"{what} {name}")


@contextmanager
def stage_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that begins again with each stage: called with its name, what is done of it, and all
    there is of it."""
    with progress_bar(quiet=quiet) as bar:
        shown = bar.add_task("", total=None, visible=False)
        stages: list[str] = []
        told = bar.get_time()

        def report(what: str, done: int, total: int) -> None:
            nonlocal told
            if stages[-1:] != [what]:
                stages.append(what)
                bar.reset(shown, description=what, total=total, visible=True)
                # What is told first is that some of it is done: that took time since the last.
                bar.tasks[0].start_time = told
            bar.update(shown, completed=done, total=total)
            told = bar.get_time()

        yield report


def progress_bar(*, quiet: bool) -> Progress:
    """A bar on stderr with count, rate and time left, which vanishes when done.

    Into a file or a pipe it is a line every :data:`LINE_SECONDS` instead, so that the log of a long
    job says how far it is, and that of a short one nothing.
    """
    if quiet:
        return Progress(disable=True)
    if not console.stderr.is_terminal:
        return ProgressLines()
    return Progress(
        SpinnerColumn(),
        _Description(table_column=_whole()),
        BarColumn(),
        MofNCompleteColumn(table_column=_whole()),
        _Rate(table_column=_whole()),
        TimeRemainingColumn(table_column=_whole()),
        console=console.stderr,
        transient=True,
    )


class ProgressLines(Progress):
    """A bar that is told as lines: what was done last, how much, tasks/s, and the time left."""

    def __init__(self, get_time: Callable[[], float] | None = None) -> None:
        """Begin; ``get_time`` gives seconds."""
        super().__init__(disable=True, get_time=get_time)
        self._said = self.get_time()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As of a bar; says it where the last line is long ago."""
        super().update(task_id, **changes)
        if self.get_time() - self._said >= LINE_SECONDS:
            self._said = self.get_time()
            print_note(line_of(self._tasks[task_id]))


def line_of(task: Task) -> str:
    """A bar as a line of a log.

    The rate is that since the beginning: what is done comes in bursts, a group of tasks at a time.
    """
    done = f"{task.completed:,.4g}" if task.completed < 1000 else f"{task.completed:,.0f}"
    parts = [f"{done} of {task.total:,.0f}" if task.total else done]
    if task.completed and task.elapsed:
        rate = task.completed / task.elapsed
        parts.append(_a_second(rate))
        if task.total:
            parts.append(f"{_duration((task.total - task.completed) / rate)} left")
    return f"{task.description.strip()}: {', '.join(parts)}"


def _a_second(rate: float) -> str:
    """``0.27/s``, ``5.3/s`` or ``48,000/s``."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def _duration(seconds: float) -> str:
    """``1 h 02 min``, ``2 min 05 s`` or ``7 s``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _whole() -> Column:
    """Of text, which a narrow terminal does not wrap: the bar gives way."""
    return Column(no_wrap=True)


class _Description(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(printable(task.description))


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_a_second(task.speed) if task.speed else "-/s", style="progress.data.speed")
