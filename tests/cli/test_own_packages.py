"""The command line in processes of their own: a user's files around it, and what it imports."""

import json
import os
import subprocess
import sys

import pytest

from maskstore import MaskArchive

SCRATCH = "print('the scratch file ran')\nraise SystemExit(3)\n"

IMPORTED = """
import json, sys
from supsup_store.main import main
sys.argv = ["supsup-store", *sys.argv[1:]]
try:
    main()
except SystemExit as exit_:
    assert not exit_.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path):
    """A user's folder with an archive."""
    MaskArchive.create(tmp_path / "a.h5", {"w": (3,)}).close()
    return tmp_path


def run_in(folder, *arguments):
    """``python -m supsup_store`` there, with PYTHONPATH as ``--net module:function`` wants it."""
    return subprocess.run(
        [sys.executable, "-m", "supsup_store", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([".", os.environ["PYTHONPATH"]])},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", ["cli.py", "hopfield.py", "training.py"])
def test_files_that_a_command_needs_not_are_not_in_its_way(folder, name):
    for each in ("cli.py", name):
        (folder / each).write_text(SCRATCH)
    listed = run_in(folder, "list", "a.h5", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert json.loads(listed.stdout)["tasks"] == []


ENCODE = ("encode", "a.h5", "--out", "m.h5")


@pytest.mark.parametrize(
    ("file", "package", "arguments"),
    [
        ("hopfield.py", "hopfield", ENCODE),
        ("hopfield/__init__.py", "hopfield", ("recover", "m.h5", "--data", "x.npy")),
        ("maskstore.py", "maskstore", ("list", "a.h5")),
        ("maskstore.py", "maskstore", ("--help",)),
        ("supsup.py", "supsup", ("list", "a.h5", "--json")),
        ("supsup/__init__.py", "supsup", ENCODE),
    ],
)
def test_a_file_in_the_way_is_named_and_not_run(folder, file, package, arguments):
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(SCRATCH)
    before = sorted(folder.rglob("*"))
    ended = run_in(folder, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"error: {path} is in the way of the package '{package}'")
    assert "rename it" in ended.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_is_no_package_is_in_nobodys_way(folder):
    (folder / "hopfield").mkdir()
    assert "made by hand" in run_in(folder, *ENCODE).stderr


@pytest.mark.parametrize(
    "arguments", [("--help",), ("train", "--help"), ("reproduce", "--help"), ("list", "a.h5")]
)
def test_what_needs_no_network_does_not_wait_for_torch(folder, arguments):
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(json.loads(ended.stderr.splitlines()[-1]))
    assert {"maskstore", "supsup", "typer"} <= modules
    assert not {"torch", "numba", "matplotlib", "hopfield", "PIL"} & modules


def test_the_test_sees_what_is_imported(folder):
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED, "create", "b.h5", "--net", "bn-2048", "--outputs", "2"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch" in json.loads(ended.stderr.splitlines()[-1])
