"""What every command prints: one JSON document or a table on stdout; all else on stderr."""

import csv
import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO, TextIOWrapper
from typing import Any, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_READABLE = 76
"""Characters of a line of JSON for people."""

_NARROW = 14
"""Columns of the terminal that a column of sentences takes at least, if it has so many."""

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


def print_readable(document: Any) -> None:
    """Print JSON as people read it: what fits on a line is on one, and text is not escaped."""
    text = _readable(document, 0)
    escaped = (
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )
    with _standard_output():
        typer.echo("".join(escaped))


def _readable(value: Any, indent: int, begun: int = 0) -> str:
    """The JSON of a value, on one line where it fits after ``begun`` characters."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not value or not isinstance(value, dict | list) or indent + begun + len(line) <= _READABLE:
        return line
    if isinstance(value, dict):
        keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in value]
        pairs = zip(keys, value.values(), strict=True)
        parts = [key + _readable(each, indent + 2, len(key)) for key, each in pairs]
    else:
        parts = [_readable(each, indent + 2) for each in value]
    inner = ",".join(f"\n{' ' * (indent + 2)}{part}" for part in parts)
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}{inner}\n{' ' * indent}{last}"


def print_csv(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print comma-separated values on stdout; None is empty.

    Text is as a terminal may have it, and as a spreadsheet may (``csv_cell``).
    """
    from maskstore.task_table import csv_cell  # not before find_only_ours

    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (headings, *rows):
        writer.writerow(
            [csv_cell(printable(each)) if isinstance(each, str) else each for each in row]
        )
    with _standard_output():
        typer.echo(text.getvalue(), nl=False)


def print_line(text: str) -> None:
    """Print a line on stdout."""
    with _standard_output():
        typer.echo(printable(text))


def print_note(text: str) -> None:
    """Print a line on stderr. One that cannot be written is no reason to fail."""
    try:
        stderr.print(Text(printable(text)), soft_wrap=True)
    except OSError:
        _forget(sys.stderr)


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    least_wanted: Sequence[str | tuple[str, ...]] = (),
    long: Collection[str] = (),
) -> None:
    """Print a table on stdout; numbers are right-aligned, and names are never cut or wrapped.

    Args:
        least_wanted: headings of columns that a narrow terminal goes without, the first first; a
            tuple of those that say nothing without each other.
        long: headings of columns of sentences, which are wrapped to the terminal's width.
    """
    body = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in body]
    names = [printable(heading) for heading in headings]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    least = [
        min(width, _NARROW) if name in long else width
        for name, width in zip(names, widths, strict=True)
    ]
    console = Console(highlight=False, markup=False, emoji=False)
    # A pipe has no width: nothing that stands in the table is cut or left out.
    room = console.width if console.is_terminal else _with_borders(widths)
    shown = list(range(len(names)))
    for some in least_wanted:
        if _with_borders([least[at] for at in shown]) > room:
            gone = {names.index(name) for name in ((some,) if isinstance(some, str) else some)}
            shown = [at for at in shown if at not in gone]
    # Text, not markup: a task may be called "[red]" and an archive ":boom:.h5".
    table = Table()
    for at in shown:
        numeric = bool(body) and all(isinstance(row[at], int | float | None) for row in body)
        table.add_column(
            Text(names[at]),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=names[at] not in long,
            min_width=least[at],
        )
    for row in cells:
        table.add_row(*(Text(row[at]) for at in shown))
    console.width = max(room, _with_borders([least[at] for at in shown]))
    with _standard_output():
        if title is not None:  # not as the table's, which wraps at the table's width
            console.print(Text(printable(title)), soft_wrap=True)
        console.print(table)


def _with_borders(widths: Sequence[int]) -> int:
    """Columns of the terminal: each cell has a space on both sides, and lines are in between."""
    return sum(widths) + 3 * len(widths) + 1


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 task``, ``2 tasks``, ``1,000 tasks``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


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
        _forget(sys.stdout)
        from maskstore.errors import SupsupError  # not before find_only_ours

        raise SupsupError(f"standard output: cannot write: {error.strerror or error}") from error


def _forget(stream: TextIO) -> None:
    """Have what is left in a stream's buffer not fail again when Python ends, with 120."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _cell(value: Any) -> str:
    """A cell as text that a terminal shows and does not obey."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else printable(value)
