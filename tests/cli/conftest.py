"""Running the command line in this process: exit code, stdout, stderr."""

import json
import sys
from typing import NamedTuple

import pytest

from supsup_store.main import main


class Result(NamedTuple):
    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run(monkeypatch, capsys):
    """``run("list", path, "--json")`` as a shell would."""

    def run_command(*arguments) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["supsup-store", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run_command
