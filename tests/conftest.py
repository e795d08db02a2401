"""Shared by every test: shape annotations are checked while tests run."""

import os
import signal
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

import tests.typechecker  # noqa: F401 - the hook below finds it by name
from tests.sources import PACKAGES, ROOT, folder_of, modules_with_shapes

# Must come before the packages are imported: beartype then checks every annotated shape. Modules
# without any are left as they are, as checking a call takes longer than most of theirs.
install_import_hook(modules_with_shapes(), "tests.typechecker.check")

# Processes that tests start take the packages from where the tests do, so that an installed copy
# never stands in for a part of a checkout, nor what else lies in a checkout for what was installed.
_HERE = {str(folder_of(name).parent): None for name in PACKAGES if ROOT in folder_of(name).parents}
os.environ["PYTHONPATH"] = os.pathsep.join([*_HERE, *filter(None, [os.environ.get("PYTHONPATH")])])


BESIDE = ("benchmarks", "docs", "examples", "pyproject.toml")
"""What lies beside the tests and is tested, too, whether the packages are there or installed."""


def pytest_configure() -> None:
    """Refuse tests that were taken out of the checkout alone, before some of them fail oddly."""
    if missing := [name for name in BESIDE if not (ROOT / name).exists()]:
        raise pytest.UsageError(
            f"the tests read {', '.join(missing)}, not found in {ROOT}; take all of the source "
            "distribution, without its packages to test installed ones (CONTRIBUTING.md)"
        )


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the full MNIST files; the test is skipped where there is none."""
    root = os.environ.get("SUPSUP_DATA")
    if not root:
        pytest.skip("SUPSUP_DATA is not set: the full MNIST is not at hand")
    for folder in (Path(root), Path(root) / "mnist"):
        if list(folder.glob("train-images-idx3-ubyte*")):
            return folder
    pytest.skip(f"SUPSUP_DATA={root} holds no MNIST files")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_commands():
    """A shell makes what it runs in the background ignore Ctrl-C, and all that this starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none; nothing else may ask PyTorch for one."""
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no GPU here")
