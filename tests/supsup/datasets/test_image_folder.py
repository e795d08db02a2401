import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from maskstore.errors import InvalidInput
from supsup.datasets import SOURCES, ClassFolders, load
from supsup.datasets import catalog as catalog_module
from supsup.datasets import lazy_images as pictures_module
from supsup.datasets.augment import ResizedCropFlip
from supsup.datasets.lazy_images import Pictures, decode
from supsup.tasks import make_task, task_family
from tests.supsup.datasets.helpers import write_class_folders

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Twenty classes: six pictures of 3 and 17, one of the others."""
    folder = tmp_path_factory.mktemp("tree")
    write_class_folders(folder / "imagenet", {3: 6, 17: 6}, classes=20)
    return folder


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    """The catalogue's ImageNet is one of 20 classes, kept at 24 pixels and seen at 16."""
    small = replace(SOURCES["imagenet"], classes=20, side=24, augment=ResizedCropFlip(size=16))
    monkeypatch.setattr(catalog_module, "SOURCES", {**SOURCES, "imagenet": small})
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **o: tmp_path / "cache" / name)
    monkeypatch.delenv("SUPSUP_DATA", raising=False)


def reference(path, side: int) -> np.ndarray:
    """Scale the shorter edge, then cut the middle: two steps where the package has one."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        scale = side / min(picture.size)
        width, height = (round(length * scale) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(picture)[top : top + side, left : left + side].transpose(2, 0, 1)


@pytest.mark.parametrize("root", ["", "imagenet"])
def test_finds_the_folders(tree, root):
    found = load("imagenet", tree / root)
    assert isinstance(found, ClassFolders)
    assert [len(folders) for folders in (found.train, found.test)] == [20, 20]
    assert found.train[3].name == "n00000003"
    assert (found.size, found.classes) == ((24, 24), 20)


def test_a_task_has_the_pictures_of_its_classes(tree):
    recipe = task_family("split-imagenet", 1, seed=1)[0]
    data = load("imagenet", tree)
    task = make_task(recipe, data)
    classes = recipe.task_rule.classes(0, 1, 20, recipe.options)
    paths = [path for number in classes for path in sorted(data.train[number].iterdir())]
    assert task.train_images.files == paths
    assert [classes[label] for label in task.train_y.tolist()] == [
        int(path.parent.name[1:]) for path in paths
    ]
    x, y = next(task.test_batches(100))
    assert x.shape == (task.test_size, 3, 16, 16)
    assert y.tolist() == sorted(y.tolist())
    tested = [path for number in classes for path in sorted(data.test[number].iterdir())]
    for image, path in zip(x, tested, strict=True):
        levels = (np.array(each)[:, None, None] for each in (data.mean, data.std))
        mean, std = levels
        expected = (reference(path, 24)[:, 4:20, 4:20] / 255 - mean) / std
        # Noise from pixel to pixel: where a picture is cut by half a pixel shows in every one.
        assert np.abs(image.numpy() - expected).mean() < 0.25
        assert abs(float(image.mean()) - expected.mean()) < 0.1
    batch = torch.arange(task.train_size)
    x, y = task.train_batch(batch)
    assert x.shape == (len(paths), 3, 16, 16)
    assert y.tolist() == task.train_y.tolist()
    again = make_task(recipe, load("imagenet", tree)).train_batch(batch)[0]
    assert torch.equal(x, again)
    assert not torch.equal(x, task.train_batch(batch.flip(0))[0].flip(0))


def test_decoding_is_close_to_scaling_and_cutting(tmp_path):
    """On a smooth picture the two orders agree to a few levels, whichever edge is longer."""
    for shape in ((90, 160), (160, 90), (64, 64)):
        y, x = np.indices(shape)
        smooth = np.stack([x * 255 / shape[1], y * 255 / shape[0], 0 * x + 70], 2)
        Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "a.png")
        found = decode(tmp_path / "a.png", 32)
        assert found.shape == (3, 32, 32)
        difference = np.abs(found.astype(int) - reference(tmp_path / "a.png", 32))
        assert difference.max() <= 4
    Image.fromarray(np.full((400, 300), 90, np.uint8)).save(tmp_path / "grey.jpg")
    assert abs(decode(tmp_path / "grey.jpg", 32).astype(int) - 90).max() <= 1


def test_each_picture_is_decoded_once_and_memory_is_bounded(tree, monkeypatch):
    files = sorted((tree / "imagenet" / "train").glob("*/*.JPEG"))
    decoded: list = []
    lock = threading.Lock()

    def counting(path, side):
        with lock:
            decoded.append(path)
        return decode(path, side)

    monkeypatch.setattr(pictures_module, "decode", counting)
    plain = np.stack([decode(path, 8) for path in files])
    pictures = Pictures(files, 8, CPU)
    for which in (torch.tensor([3, 0, 3]), torch.tensor([0, 5]), slice(2, 6)):
        np.testing.assert_array_equal(pictures[which], plain[which])
    assert sorted(decoded) == [files[at] for at in (0, 2, 3, 4, 5)]
    decoded.clear()
    monkeypatch.setattr(pictures_module, "CACHE_BYTES", 4 * 3 * 8 * 8)
    bounded = Pictures(files, 8, CPU)
    for _ in range(2):
        np.testing.assert_array_equal(
            bounded[torch.tensor([9, 1, 9, 3, 4])], plain[[9, 1, 9, 3, 4]]
        )
    assert decoded.count(files[1]) == 1
    assert decoded.count(files[4]) == 2
    assert len(bounded) == len(files)


def test_a_broken_picture_is_named(tree, tmp_path):
    whole = next((tree / "imagenet" / "train").glob("*3/*.JPEG")).read_bytes()
    for content in (b"<html>", whole[: len(whole) // 2], b""):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(InvalidInput, match=r"a.jpg: not a readable picture"):
            Pictures([tmp_path / "a.jpg"], 8, CPU)[slice(0, 1)]
    with pytest.raises(InvalidInput, match=r"gone.jpg: cannot read: No such file"):
        decode(tmp_path / "gone.jpg", 8)


def test_what_is_missing_is_said(tree, tmp_path):
    with pytest.raises(InvalidInput, match=r"no folders train and val in .*into .*train/CLASS"):
        load("imagenet", tmp_path)
    write_class_folders(tmp_path, {}, classes=19)
    with pytest.raises(InvalidInput, match=r"train: expected 20 folders, .* found 19"):
        load("imagenet", tmp_path)
    for part, name in (("train", "x"), ("val", "y")):
        (tmp_path / part / name).mkdir()
    with pytest.raises(InvalidInput, match=r"class 'x' is only in one of train and val"):
        load("imagenet", tmp_path)
    (tmp_path / "val" / "y").rename(tmp_path / "val" / "x")
    data = load("imagenet", tmp_path)
    (tmp_path / "train" / "x").rmdir()
    with pytest.raises(InvalidInput, match=r"x: cannot be read"):
        data.select("train", [19])


def test_a_class_without_pictures(tree, tmp_path):
    for part in ("train", "val"):
        for number in range(20):
            (tmp_path / part / str(number)).mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"found none for training"):
        make_task(task_family("split-imagenet", 1)[0], load("imagenet", tmp_path))


def test_moving(tree):
    data = load("imagenet", tree).to("meta")
    task = make_task(task_family("split-imagenet", 1)[0], data)
    assert task.device.type == "meta"
    assert task.train_images[slice(0, 2)].device.type == "meta"
