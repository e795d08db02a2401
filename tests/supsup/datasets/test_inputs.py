import gzip

import numpy as np
import pytest
import torch
from PIL import Image

from maskstore import InvalidInput
from supsup.datasets import SOURCES, load
from supsup.datasets import catalog as catalog_module
from supsup.datasets.idx import encode_idx
from supsup.datasets.inputs import load_inputs
from supsup.tasks import make_task, task_family
from tests.supsup.datasets.helpers import cifar_like, write_cifar


@pytest.fixture(scope="module")
def digits():
    return load("mnist-sample")


def write(path, images):
    if path.suffix == ".npy":
        np.save(path, images)
    elif path.suffix == ".npz":
        np.savez(path, images)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(encode_idx(images)))
    else:
        path.mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(path / f"{number:03d}.png")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a-idx3-ubyte.gz", "folder"])
def test_every_form_gives_what_a_task_gives(digits, tmp_path, name):
    plain = make_task(task_family("split-mnist-sample", 1)[0], digits)
    expected, _ = plain.test_batch(torch.arange(5))
    images = plain.test_images[:5].numpy()
    write(tmp_path / name, images)
    assert torch.equal(load_inputs(tmp_path / name, "mnist-sample"), expected)


@pytest.mark.parametrize("name", ["first.npy", "last.npz", "folder"])
def test_colours_of_any_order_and_size(tmp_path, monkeypatch, name):
    """What a test image gives in training is what it gives from a file."""
    write_cifar(tmp_path, train=1, test=1)
    known = {**SOURCES, "cifar100": cifar_like(tmp_path)}
    monkeypatch.setattr(catalog_module, "SOURCES", known)
    task = make_task(task_family("split-cifar100")[0], load("cifar100", tmp_path))
    expected, _ = next(task.test_batches(5))
    images = task.test_images.numpy()
    write(tmp_path / name, images if name == "first.npy" else images.transpose(0, 2, 3, 1))
    found = load_inputs(tmp_path / name, "cifar100")
    assert torch.equal(found, expected)


def test_large_pictures_are_seen_as_in_tests(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 256, 256), dtype=np.uint8)
    np.save(tmp_path / "kept.npy", pixels)
    np.save(tmp_path / "seen.npy", pixels[:, :, 16:240, 16:240])
    kept, seen = (load_inputs(tmp_path / name, "imagenet") for name in ("kept.npy", "seen.npy"))
    assert torch.equal(kept, seen)
    source = SOURCES["imagenet"]
    mean, std = (np.array(each)[:, None, None] for each in (source.mean, source.std))
    np.testing.assert_allclose(seen, (pixels[:, :, 16:240, 16:240] / 255 - mean) / std, atol=1e-5)
    write(tmp_path / "folder", np.full((1, 300, 500, 3), 128, np.uint8))
    assert load_inputs(tmp_path / "folder", "imagenet").shape == (1, 3, 224, 224)
    np.save(tmp_path / "floats.npy", np.full((2, 8, 8, 3), -1.0))
    assert torch.equal(load_inputs(tmp_path / "floats.npy", "imagenet"), -torch.ones(2, 3, 8, 8))


def test_floats_are_taken_as_they_are(tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    np.save(tmp_path / "x.npy", x)
    found = load_inputs(tmp_path / "x.npy", "mnist")
    assert torch.equal(found, torch.from_numpy(x.astype(np.float32)).reshape(3, 20))


def test_bad_input(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(5, np.uint8))
    np.save(tmp_path / "none.npy", np.zeros((0, 28, 28), np.uint8))
    np.save(tmp_path / "ints.npy", np.zeros((2, 28, 28), np.int32))
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    (tmp_path / "junk.npy").write_bytes(b"junk")
    (tmp_path / "junk.npz").write_bytes(b"junk")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "mixed" / "a.png")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "mixed" / "b.png")
    np.save(tmp_path / "grey.npy", np.zeros((2, 32, 32), np.uint8))
    np.save(tmp_path / "small.npy", np.zeros((2, 3, 8, 9), np.uint8))
    for name, message in [
        ("grey.npy", r"in colour, .* got an array of shape \(2, 32, 32\)"),
        ("small.npy", "32×32 pixels for cifar100, got 8×9"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            load_inputs(tmp_path / name, "cifar100")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"\x89PNG")
    for name, message in [
        ("one.npy", "expected images"),
        ("none.npy", "expected images"),
        ("ints.npy", "uint8"),
        ("two.npz", "found 2"),
        ("junk.npy", "not a readable .npy"),
        ("junk.npz", "not a readable .npz"),
        ("no.npy", "No such file"),
        ("empty", "no pictures"),
        ("mixed", "one size"),
        ("broken", "not a readable picture"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            load_inputs(tmp_path / name, "mnist")


def test_floats_that_are_no_normalised_images(tmp_path):
    pixels = np.array([[0.0, 255.0], [12.0, 3.0]])
    for array, message in [
        (pixels, r"from 0 to 255, where normalised images go from -0\.42 to 2\.82; save bytes"),
        (-pixels, "from -255 to"),
        (np.full((2, 3), np.inf), "from inf to inf"),
    ]:
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(InvalidInput, match=message):
            load_inputs(tmp_path / "x.npy", "mnist")
    np.save(tmp_path / "x.npy", pixels / 255)  # pixels, not normalised: see test_any_picture.py
    assert load_inputs(tmp_path / "x.npy", "mnist").max() > 2.8
