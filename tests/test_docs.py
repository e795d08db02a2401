"""Every documented command and example is run as it is written."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from supsup.datasets import load
from supsup_store.main import app, main

ROOT = Path(__file__).parents[1]
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


def test_links_in_documents_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
