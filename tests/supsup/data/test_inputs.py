import gzip

import numpy as np
import pytest
import torch
from PIL import Image

from maskstore import InvalidInput
from supsup.data import load, make_task, task_family
from supsup.data.idx import encode_idx
from supsup.data.inputs import load_inputs


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
    recipe = task_family("permuted-mnist-sample", 1)[0]
    task = make_task(recipe, digits)
    plain = make_task(task_family("split-mnist-sample", 1)[0], digits)
    expected, _ = plain.test_batch(torch.arange(5))
    images = plain.test_images[:5].numpy()
    write(tmp_path / name, images)
    assert torch.equal(load_inputs(tmp_path / name, "mnist-sample"), expected)
    assert task.features == expected.shape[1]


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
