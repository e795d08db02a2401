"""README and tutorial, walked through by a newcomer: a clone, a fresh environment, one folder.

Every command is run by bash as it is written, in its order, the Python between them in a process of
its own. The environment has what this one has, but for this project, so that nothing is downloaded.
"""

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.pages import FILE, check_shown, snippets_of
from tests.sources import ROOT

PAGES = (ROOT / "README.md", ROOT / "docs" / "tutorial.md")
CLONED = ("maskstore", "hopfield", "supsup", "cli", "tests", "benchmarks", "docs", "examples")
"""Folders that an installation and the tests that are tried take."""

TESTS = "tests/maskstore/test_golden.py"
"""What `pytest` runs in the walk; all the rest is running already."""

PROGRAMS = {
    # The real one, which may not look for anything elsewhere.
    "pip": 'shift; exec "{python}" -m pip install --no-index --no-build-isolation "$@"',
    "pytest": f'exec "{{python}}" -m pytest {TESTS} "$@"',
}
"""What the environment has beside Python, as shell scripts."""

INTERPRETER = (
    "import json, sys\n"
    "names = {'__name__': '__main__'}\n"
    "for line in sys.stdin:\n"
    "    exec(compile(json.loads(line), 'snippet', 'exec'), names)\n"
    "    print('\\0', flush=True)\n"
)
"""Runs what it is sent, line by line; what snippets of a page make is shared."""


class Newcomer:
    """Somebody with a clone and a virtual environment.

    Args:
        folder: where both are put.
    """

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "clone"
        for name in CLONED:
            ignore = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / name, self.clone / name, ignore=ignore)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.clone)
        environment = folder / "venv"
        venv.create(environment, with_pip=False)
        self._python = environment / "bin" / "python"
        (site,) = environment.glob("lib/*/site-packages")
        here = sysconfig.get_paths()["purelib"]
        (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        for name, script in PROGRAMS.items():
            program = environment / "bin" / name
            program.write_text(f"#!/bin/sh\n{script.format(python=self._python)}\n")
            program.chmod(0o755)
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "SUPSUP_DATA")
        } | {
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def walk(self, page: Path) -> None:
        """Run all that a page shows; an error names the line of the snippet."""
        with subprocess.Popen(
            [self._python, "-c", INTERPRETER],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as interpreter:
            for snippet in snippets_of(page):
                where = f"{page.name}, line {snippet.line}"
                if snippet.language == "bash":
                    printed = self._bash(snippet.text, where)
                elif named := FILE.match(snippet.text):
                    (self.clone / named[1]).write_text(snippet.text)
                    continue
                else:
                    printed = _python(interpreter, snippet.text, where)
                check_shown(snippet.shown, printed, where)

    def _bash(self, text: str, where: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", text],
            cwd=self.clone,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            pytest.fail(f"{where}: exit code {done.returncode}\n{text}{done.stdout}")
        return done.stdout


def _python(interpreter: "subprocess.Popen[str]", text: str, where: str) -> str:
    assert interpreter.stdin
    assert interpreter.stdout
    interpreter.stdin.write(json.dumps(text) + "\n")
    interpreter.stdin.flush()
    printed = ""
    for line in interpreter.stdout:
        if line == "\0\n":
            return printed
        printed += line
    pytest.fail(f"{where}: the snippet failed\n{text}{printed}")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    if os.name == "nt" or not (ROOT / "supsup").is_dir():
        pytest.skip("needs bash, and the packages' source")
    return Newcomer(tmp_path_factory.mktemp("newcomer"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_command_runs_as_it_is_written(newcomer, page):
    newcomer.walk(page)


def test_what_ran_was_installed(newcomer, tmp_path):
    """And not what this process tests, nor the folders of the clone."""
    where = "import supsup, supsup_store, sys; print(supsup.__file__, supsup_store.__file__)"
    command = ["bash", "-c", f"python -c '{where}'"]
    done = subprocess.run(
        command, cwd=tmp_path, env=newcomer.environment, capture_output=True, text=True
    )
    site = newcomer.clone.parent / "venv" / "lib"
    assert all(path.startswith(str(site)) for path in done.stdout.split()), done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```bash\nsupsup-store list none.h5\n```\n", "page.md, line 2: exit code 1"),
        ("```bash\ntrue\n```\n\n```python\n1 / 0\n```\n", "page.md, line 6: the snippet failed"),
        ("```bash\necho 4 ducks\n```\n\n```text\n5 ducks\n```\n", "said to print '5 ducks'"),
    ],
)
def test_a_command_that_fails_is_seen(newcomer, tmp_path, text, message):
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(pytest.fail.Exception, match=message):
        newcomer.walk(tmp_path / "page.md")
