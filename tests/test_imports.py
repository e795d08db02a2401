"""Imports point one way: cli → supsup → hopfield → maskstore."""

import json
import subprocess
import sys

import pytest

from benchmarks.layout_figures import PACKAGES, Source, against_the_direction, checkout, cycles
from tests.sources import folder_of

MODULES = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name != "triton":  # comes with PyTorch for CUDA only
            raise
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def roots_imported_by(package: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", MODULES, package], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout))


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("maskstore", {"torch", "supsup", "hopfield", "supsup_store"}),
        ("hopfield", {"torch", "supsup", "supsup_store"}),
        ("supsup", {"supsup_store"}),
    ],
)
def test_what_a_package_never_imports(package, forbidden):
    assert not roots_imported_by(package) & forbidden


def test_the_test_sees_imports():
    assert {"torch", "maskstore"} <= roots_imported_by("supsup")


def test_no_folder_imports_another_in_a_circle_or_against_the_direction():
    source = Source({package: folder_of(package) for package in PACKAGES})
    assert {module.split(".")[0] for module in source.modules} == set(PACKAGES)
    edges = source.edges()
    assert edges["supsup.training"] >= {"supsup.masking", "maskstore.seeded"}
    assert not cycles(edges)
    assert not against_the_direction(edges)


@pytest.mark.parametrize(
    ("importer", "line", "circle"),
    [
        ("supsup/tasks/task.py", "from supsup.training import loop", True),
        ("supsup/tasks/task.py", "import supsup.training.loop", True),
        ("supsup/tasks/task.py", "def late():\n    from ..training.loop import f", True),
        ("supsup/tasks/task.py", "from . import recipe", False),
        ("supsup/tasks/task.py", "import numpy", False),
        ("maskstore/archive.py", "from hopfield.rules import hebb", True),
        ("hopfield/rules/hebb.py", "import maskstore.archive", False),
        ("maskstore/archive.py", "from supsup.model import f", False),
    ],
)
def test_circles_and_wrong_directions_are_found_in_source(tmp_path, importer, line, circle):
    files = {
        "maskstore/archive.py": "",
        "hopfield/rules/hebb.py": "from maskstore import archive",
        "supsup/model.py": "",
        "supsup/tasks/task.py": "",
        "supsup/tasks/recipe.py": "",
        "supsup/training/loop.py": "from ..tasks import task",
        "cli/supsup_store/main.py": "from supsup import model",
    }
    assert importer in files
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n{line}\n" if name == importer else text)
    edges = Source(checkout(tmp_path)).edges()
    assert edges["supsup_store.main"] == {"supsup.model"}
    assert bool(cycles(edges)) == circle
    wrong = importer.startswith("maskstore") and not line.startswith("import maskstore")
    assert bool(against_the_direction(edges)) == wrong


@pytest.mark.parametrize(
    "code",
    [
        "import maskstore",
        "from supsup_store.main import main; main()",
    ],
)
def test_windows_is_told_in_a_line(code):
    run = subprocess.run(
        [sys.executable, "-c", f"import sys, typer, rich.console; sys.platform = 'win32'; {code}"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "maskstore: Windows is not supported" in run.stderr.splitlines()[-1]


LATER = {
    "PIL",
    "fsspec",
    "h5py",
    "html",
    "llvmlite",
    "matplotlib",
    "numba",
    "pandas",
    "platformdirs",
    "ray",
    "rich",
    "scipy",
}
"""What few runs need, and none before it trains, reads or shows something."""


@pytest.mark.parametrize(
    "line", ["import supsup", "from supsup import SupSup", "from supsup import SupSup, train"]
)
def test_what_takes_long_to_load_is_loaded_where_it_is_used(line):
    script = f"{line}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(json.loads(run.stdout))
    assert "supsup" in modules
    assert not {module.split(".")[0] for module in modules} & LATER
    assert ("supsup.training.loop" in modules) == ("train" in line)  # opening needs no training
