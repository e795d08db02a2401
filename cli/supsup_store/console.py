"""What every command prints: one JSON document or a table on stdout; all else on stderr."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

stderr = Console(stderr=True, highlight=False)


def print_json(document: Any) -> None:
    """Print one JSON document, alone, on stdout."""
    typer.echo(json.dumps(document, allow_nan=False, indent=2))


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None
) -> None:
    """Print a table on stdout; numbers are right-aligned."""
    body = [list(row) for row in rows]
    table = Table(title=title, title_justify="left")
    for at, heading in enumerate(headings):
        numeric = bool(body) and all(isinstance(row[at], int | float | None) for row in body)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        # Text, not markup: a task may be called "[red]".
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 400  # a pipe has no width: names and digests must not be cut
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2g}/s" if task.speed else "-/s", style="progress.data.speed")


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

        def report(what: str, done: int, total: int) -> None:
            if stages[-1:] != [what]:
                stages.append(what)
                bar.reset(shown, description=what, total=total, visible=True)
            bar.update(shown, completed=done, total=total)

        yield report


def progress_bar(*, quiet: bool) -> Progress:
    """A progress bar on stderr with count, rate and time left; it vanishes when done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        # Into a file or pipe it would only print blank lines.
        disable=quiet or not stderr.is_terminal,
    )
