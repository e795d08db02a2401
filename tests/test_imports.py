"""Imports point one way: cli → supsup → hopfield → maskstore."""

import json
import subprocess
import sys

import pytest

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
