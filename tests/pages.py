"""The snippets of a documentation page, and what it means to run them as they are written.

In order, in one folder: ``python`` blocks share their names, one that begins with ``# NAME.py`` is
written to that file, and of ``bash`` blocks the commands of supsup-store are run. A ``text`` block
right after one of these shows what it prints, and every line of it must be there. A ``bash`` block
after ``<!-- not run: WHY -->`` needs what is not here: its commands are only parsed.
"""

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

FENCE = re.compile(
    r"(?:<!-- (not run: .+?) -->\s*)?^```(python|bash)\n(.*?)^```$(?:\s*^```text\n(.*?)^```)?",
    re.S | re.M,
)
FILE = re.compile(r"# ([a-z_]+\.py)\n")
ELSEWHERE = ("pip", "pytest", "python", ".", "ruff", "mypy")
"""Programs that snippets may name and that are not run here: installing, and the tests."""


class Snippet(NamedTuple):
    """A fenced block; ``line`` is that of its first line in the page, ``shown`` what it prints."""

    language: str
    text: str
    line: int
    run: bool
    shown: str


def snippets_of(page: Path) -> list[Snippet]:
    """All python and bash blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Snippet(
            found[2],
            found[3],
            text.count("\n", 0, found.start(3)) + 1,
            found[1] is None,
            found[4] or "",
        )
        for found in FENCE.finditer(text)
    ]


def commands_in(block: str) -> Iterator[list[str]]:
    """The commands of supsup-store in a bash block, without their name, split as a shell does."""
    for line in block.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            if words and words[0] == "supsup-store":
                yield words[1:]
            elif words and words[0] not in ELSEWHERE:
                raise ValueError(f"{words[0]}: a snippet may only run supsup-store, got {part!r}")


def run_page(
    page: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Run a page's snippets in a folder; an error names the page and the line of the snippet."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "argv", sys.argv)
    names: dict[str, Any] = {"__name__": "snippet"}
    try:
        for snippet in snippets_of(page):
            where = f"{page.name}, line {snippet.line}"
            capfd.readouterr()
            if snippet.language == "bash":
                for words in commands_in(snippet.text):
                    (run_command if snippet.run else parse_command)(words, where)
            elif named := FILE.match(snippet.text):
                (folder / named[1]).write_text(snippet.text)
                importlib.invalidate_caches()
            else:
                exec(compile("\n" * (snippet.line - 1) + snippet.text, page.name, "exec"), names)
            if snippet.run:
                check_shown(snippet.shown, "".join(capfd.readouterr()), where)
    finally:
        forget_modules_in(folder)


def run_command(words: list[str], where: str) -> None:
    """As a shell runs it; anything but success fails the test."""
    from supsup_store.main import main

    sys.argv = ["supsup-store", *words]
    try:
        main()
    except SystemExit as exit_:
        if exit_.code:
            pytest.fail(f"{where}: {shlex.join(words)}: exit code {exit_.code}")


def parse_command(words: list[str], where: str) -> None:
    """Only that there is such a command, with such options and values."""
    from supsup_store.app import app

    try:
        get_command(app).commands[words[0]].make_context(words[0], words[1:])
    except Exception as error:
        pytest.fail(f"{where}: {shlex.join(words)}: {error}")


def check_shown(shown: str, printed: str, where: str) -> None:
    """Every line that a page shows was printed, its numbers to a few per cent.

    Accuracies and sizes may differ a little from one kind of processor to another; seconds and
    digests are not compared.
    """
    there = [words_and_numbers(line) for line in printed.splitlines()]
    for line in filter(str.strip, shown.splitlines()):
        words, numbers = words_and_numbers(line)
        near = (each for text, each in there if text == words)
        if not any(each == pytest.approx(numbers, rel=0.03, abs=0.01) for each in near):
            pytest.fail(f"{where}: is said to print {line!r}, but printed\n{printed}")


def words_and_numbers(line: str) -> tuple[str, list[float]]:
    """A line without its numbers, lines of boxes and spaces, and its numbers."""
    line = re.sub(r"\b[0-9a-f]{12}\b|\b[\d.]+ s\b|[━─]+", " ", line)
    numbers = [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", line)]
    return " ".join(re.sub(r"\d[\d,]*(?:\.\d+)?", "", line).split()), numbers


def forget_modules_in(folder: Path) -> None:
    """A page's own modules are not those of the next page."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
