"""The linter, the formatter and the type checker, as the contributors run them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from maskstore.bits import hamming_to_each
from supsup.tasks.batch import map_inputs

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)]
)
def test_static_checks(command):
    run = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "call",
    [
        lambda: hamming_to_each(np.zeros((2, 3), np.uint8), np.zeros(4, np.uint8)),
        lambda: hamming_to_each(np.zeros((2, 3), np.int64), np.zeros(3, np.uint8)),
        lambda: map_inputs(1, torch.zeros(1, dtype=torch.float32, device="cpu")),
    ],
    ids=["an axis", "a type", "another package"],
)
def test_annotations_of_shapes_are_checked_while_tests_run(call):
    with pytest.raises(TypeCheckError):
        call()


def undefined_names(folder: Path) -> list[str]:
    """Names that nothing defines; jaxtyping's axes, which are texts, are none."""
    command = ("ruff", "check", "--isolated", "--select", "F821", "--output-format", "json", ".")
    run = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True)
    found = []
    for each in json.loads(run.stdout):
        path, at = Path(each["filename"]), each["location"]
        before = path.read_text().splitlines()[at["row"] - 1][: at["column"] - 1]
        if before.count('"') % 2 == 0:
            found.append(f"{path.name}:{at['row']}: {each['message']}")
    return found


def test_every_name_is_defined():
    assert not undefined_names(ROOT)


def test_the_test_sees_undefined_names(tmp_path):
    code = 'from jaxtyping import Float\n\n\ndef f(x: Float[list, " axis"]):\n    return y\n'
    (tmp_path / "a.py").write_text(code)
    (found,) = undefined_names(tmp_path)
    assert found.startswith("a.py:5: Undefined name `y`")
