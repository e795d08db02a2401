"""The sample that comes with the package is what its script makes of the full MNIST."""

import importlib.util

import numpy as np
import pytest

from supsup.datasets import load, read_idx
from supsup.datasets.catalog import IDX_FILES
from tests.sources import ROOT, in_checkout

SAMPLE = in_checkout("supsup/datasets/sample")


def script():
    spec = importlib.util.spec_from_file_location("make_sample", ROOT / "benchmarks/make_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sample_is_small_and_licensed():
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 2_000_000
    licence = (SAMPLE / "LICENSE").read_text()
    assert "CC BY-SA 3.0" in licence
    assert "LeCun" in licence
    assert "Cortes" in licence


def test_choice_is_balanced_and_ascending():
    labels = np.arange(20_000) % 10
    chosen = script().choose(labels, "train")
    assert (np.diff(chosen) > 0).all()
    assert np.bincount(labels[chosen]).tolist() == [600] * 10


@pytest.mark.parametrize("name", IDX_FILES)
def test_the_script_makes_the_sample(mnist_dir, tmp_path, name, remade):
    np.testing.assert_array_equal(read_idx(remade / f"{name}.gz"), read_idx(SAMPLE / f"{name}.gz"))


@pytest.fixture(scope="module")
def remade(mnist_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    script().main(str(mnist_dir), folder)
    return folder


def test_every_chosen_digit_is_one_of_the_full_set(mnist_dir):
    full, sample = load("mnist", mnist_dir), load("mnist-sample")
    known = {
        (image.tobytes(), int(label))
        for image, label in zip(full.test_images.numpy(), full.test_labels, strict=True)
    }
    assert all(
        (image.tobytes(), int(label)) in known
        for image, label in zip(sample.test_images.numpy(), sample.test_labels, strict=True)
    )
