"""The wheel holds every file of the packages once, and works with nothing beside it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.layout_figures import PACKAGES, checkout
from tests.sources import ROOT, folder_of

BUILD = "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"
SOURCES = ("benchmarks", "cli", "docs", "examples", "hopfield", "maskstore", "supsup", "tests")
BESIDE = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "pyproject.toml",
)
DATA = ("py.typed", "*.gz", "LICENSE", "page.html", "page.js")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of this checkout: a build leaves folders behind, and one that finds those of an older
    layout packs them as well."""
    if not (ROOT / "supsup").is_dir():
        pytest.skip("the packages are installed, their source is not here")
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        ignore = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for name in BESIDE:
        shutil.copy(ROOT / name, copy)
    return copy


def built(kind: str, source: Path, out: Path) -> Path:
    """A distribution of a source."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


def test_the_source_distribution_holds_all_that_its_tests_and_its_site_need(source, tmp_path):
    expected = {str(file.relative_to(source)) for file in source.rglob("*") if file.is_file()}
    with tarfile.open(built("sdist", source, tmp_path)) as made:
        found = {name.partition("/")[2] for name in made.getnames()}
    assert not {name for name in expected - found if not name.startswith("build/")}


def test_the_wheel_holds_each_file_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    found = [name for name in names if ".dist-info/" not in name]
    expected = [
        f"{package}/{file.relative_to(folder).as_posix()}"
        for package, folder in checkout(ROOT).items()
        for pattern in ("*.py", *DATA)
        for file in folder.rglob(pattern)
    ]
    assert sorted(found) == sorted(expected)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(found)
    assert sum(name.startswith("supsup/datasets/sample/") for name in found) == 5
    assert any(name.endswith("licenses/supsup/datasets/sample/LICENSE") for name in names)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "supsup_store", "--help"),
        ("-c", "from supsup.datasets import load; assert load('mnist-sample').classes == 10"),
    ],
    ids=["command line", "sample"],
)
def test_the_wheel_needs_nothing_beside_it(wheel, tmp_path, arguments):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    where = "import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]).origin)"
    for command in (("-c", where, "supsup"), ("-c", where, "supsup_store"), arguments):
        run = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        if command is not arguments:
            assert run.stdout.startswith(str(tmp_path / "site"))


def test_tests_that_were_taken_along_alone_say_what_is_missing(tmp_path):
    for name in ("__init__", "conftest", "sources", "typechecker", "test_names"):
        (tmp_path / "tests").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tests" / f"{name}.py", tmp_path / "tests")
    command = [sys.executable, "-m", "pytest", "--import-mode=importlib", "tests"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR, run.stdout + run.stderr
    assert "the tests read benchmarks, docs, examples, pyproject.toml, not found" in run.stderr


def test_processes_that_tests_start_have_the_packages_that_tests_have():
    where = "import importlib.util as i, sys; print(*(i.find_spec(p).origin for p in sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-c", where, *PACKAGES],
        cwd=Path(sys.executable).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [str(folder_of(name) / "__init__.py") for name in PACKAGES]
