"""Every documented command and example is run as it is written."""

import ast
import re
import runpy
import shlex
import sys

import numpy as np
import pytest

from supsup.datasets import load
from supsup_store.app import app
from supsup_store.main import main
from tests.sources import ROOT, in_checkout

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_readme_commands_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("digits.npy", load("mnist-sample").test_images[:4].numpy())
    commands = [
        line
        for block in blocks("bash")
        for line in block.splitlines()
        if line.startswith("supsup-store ")
    ]
    assert len(commands) > 10
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        try:
            main()
        except SystemExit as exit_:
            assert not exit_.code, (command, capsys.readouterr().err)


def test_every_command_is_in_the_readme():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    missing = {name for name in names if f"supsup-store {name}" not in README}
    assert not missing


def test_the_readme_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert float(lines[-1]) > 0.9


LAZY = {"iter_train_into", "train"}
"""Generators: as a plain statement they would do nothing."""


def statements_that_do_nothing(source: str) -> list[int]:
    """Lines on which a generator is called and what it gives is dropped."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(call := node.value, ast.Call)
        and (call.func.id if isinstance(call.func, ast.Name) else "") in LAZY
    ]


def test_no_document_drops_what_a_generator_would_train():
    assert statements_that_do_nothing("x = 1\ntrain(backbone, tasks, config)") == [2]
    assert not statements_that_do_nothing("train_into(archive, backbone, tasks, config)")
    pages = [README, *(path.read_text() for path in ROOT.glob("docs/**/*.md"))]
    sources = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page, re.S)]
    sources += [path.read_text() for path in ROOT.glob("examples/*.py")]
    sources += [path.read_text() for path in ROOT.glob("benchmarks/*.py")]
    assert len(sources) > 5
    assert not [source for source in sources if statements_that_do_nothing(source)]


def test_links_in_documents_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            near = (page.parent / target).resolve()
            here = in_checkout(str(near.relative_to(ROOT))) if near.is_relative_to(ROOT) else near
            assert here.exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
