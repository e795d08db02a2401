"""What every command prints: one JSON document or a table on stdout; all else on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
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
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

stderr = Console(stderr=True, highlight=False, markup=False, emoji=False)


def printable(text: object) -> str:
    """Text of one line that a terminal shows and does not obey, whoever wrote it.

    Names, metadata and paths may come from anybody's file. Whatever is not printable (escape
    sequences, line ends, marks that turn the direction of writing, lone surrogates) is written as
    in Python source; everything else stays as it is.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text)
    )


def print_json(document: Any) -> None:
    """Print one JSON document, alone, on stdout."""
    with _standard_output():
        typer.echo(json.dumps(document, allow_nan=False, indent=2))


def print_line(text: str) -> None:
    """Print a line on stdout."""
    with _standard_output():
        typer.echo(printable(text))


def print_note(text: str) -> None:
    """Print a line on stderr. One that cannot be written is no reason to fail."""
    with suppress(OSError):
        stderr.print(Text(printable(text)), soft_wrap=True)


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None
) -> None:
    """Print a table on stdout; numbers are right-aligned."""
    body = [list(row) for row in rows]
    # Text, not markup: a task may be called "[red]" and an archive ":boom:.h5".
    table = Table(title=None if title is None else Text(printable(title)), title_justify="left")
    for at, heading in enumerate(headings):
        numeric = bool(body) and all(isinstance(row[at], int | float | None) for row in body)
        table.add_column(
            Text(printable(heading)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in body:
        table.add_row(*(Text(printable(_cell(value))) for value in row))
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 400  # a pipe has no width: names and digests must not be cut
    with _standard_output():
        console.print(table)


def show_what_cannot_be_encoded() -> None:
    """Have stdout and stderr write characters that their encoding lacks as escapes, not fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _standard_output() -> Iterator[None]:
    """Whatever goes to stdout is there at the end; raises SupsupError where it cannot be."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read it has enough, which the command line takes as it is
    except OSError as error:
        # What is left in the buffer must not fail again when Python ends.
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        from maskstore.errors import SupsupError  # not before find_only_ours

        raise SupsupError(f"standard output: cannot write: {error.strerror or error}") from error


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class _Description(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(printable(task.description))


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
        _Description(),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        # Into a file or pipe it would only print blank lines.
        disable=quiet or not stderr.is_terminal,
    )
