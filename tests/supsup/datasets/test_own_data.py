"""A user's own images: what is read of a folder, a zip and arrays, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskstore import InvalidInput
from supsup.datasets import read_own
from supsup.datasets.inputs import read_own_images
from supsup.datasets.own_source import OwnSource
from supsup.tasks import TaskRecipe, make_task, own_family, task_family

CLASSES = ("cat", "dog", "owl", "yak")


def pixels(part: str, label: int, at: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng([label, at, part == "train"])
    return rng.integers(0, 256, shape or (6, 6, 3)).astype(np.uint8)


def make_folder(root: Path, *, test: str = "test", shape: tuple[int, ...] = (6, 6, 3)) -> Path:
    for part, count in (("train", 5), (test, 2)):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for at in range(count):
                image = Image.fromarray(pixels(part, label, at, *shape))
                image.save(root / part / name / f"{at}.png")
    return root


def make_arrays(path: Path, **other: np.ndarray) -> Path:
    arrays: dict[str, np.ndarray] = {"classes": np.array(CLASSES)}
    for part, count in (("train", 5), ("test", 2)):
        both = [(label, at) for label in range(4) for at in range(count)]
        arrays[f"x_{part}"] = np.stack([pixels(part, *each) for each in both])
        arrays[f"y_{part}"] = np.array([label for label, _ in both])
    np.savez(path, **{k: v for k, v in (arrays | other).items() if v is not None})
    return path


@pytest.mark.parametrize("form", ["folder", "val", "zip", "zip with a folder", "npz"])
def test_all_forms_hold_the_same_images(form, tmp_path):
    folder = make_folder(tmp_path / "pets", test="val" if form == "val" else "test")
    if form == "npz":
        where = make_arrays(tmp_path / "pets.npz")
    elif form.startswith("zip"):
        root, base = (tmp_path, "pets") if "folder" in form else (folder, ".")
        where = Path(shutil.make_archive(str(tmp_path / "z" / "pets"), "zip", root, base))
    else:
        where = folder
    own = read_own(where)
    images, source = own.images, own.source
    assert (source.name, source.family, source.classes) == ("folder:pets", "pets", 4)
    assert images.class_names == CLASSES
    assert (source.train_size, source.test_size) == (20, 8)
    expected = [pixels("train", label, at) for label in range(4) for at in range(5)]
    found = images.train_images.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found, np.stack(expected))
    assert images.train_labels.tolist() == np.repeat(range(4), 5).tolist()
    scaled = np.stack(expected) / 255
    np.testing.assert_allclose(source.mean, scaled.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(source.std, scaled.std((0, 1, 2)), atol=1e-4)


def test_grey_pictures_stay_grey_and_may_be_oblong(tmp_path):
    own = read_own(make_folder(tmp_path / "x", shape=(4, 7)))
    assert own.images.train_images.shape == (20, 4, 7)
    assert isinstance(own.source.mean, float)
    (recipe, *_) = own_family("split-folder", own.source)
    assert next(make_task(recipe, own.images).test_batches(3))[0].shape == (3, 28)


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_pictures_are_scaled(form, tmp_path):
    where = make_folder(tmp_path / "x") if form == "folder" else make_arrays(tmp_path / "x.npz")
    own = read_own(where, size=3)
    assert own.images.test_images.shape == (8, 3, 3, 3)
    again = read_own(where, kept=own.source)
    assert own.source.difference(again.source) is None
    torch.testing.assert_close(again.images.test_images, own.images.test_images)


def test_tasks_have_names_and_their_recipe_remakes_them(tmp_path):
    own = read_own(make_folder(tmp_path / "pets"))
    recipes = own_family("split-folder", own.source, options={"ways": 2})
    assert [each.name for each in recipes] == ["split-pets/0", "split-pets/1"]
    for recipe in recipes:
        again = TaskRecipe.from_json(json.loads(json.dumps(recipe.to_json())))
        assert again.to_json() == recipe.to_json()
        assert again.class_count == 2
        assert again.own.difference(own.source) is None
    task = make_task(recipes[1], own.images)
    assert task.class_names == ("owl", "yak")
    x, y = next(task.test_batches(4))
    expected = pixels("test", 2, 0).transpose(2, 0, 1) / 255
    mean, std = (np.array(each)[:, None, None] for each in (own.source.mean, own.source.std))
    np.testing.assert_allclose(x[0].numpy(), (expected - mean) / std, rtol=1e-4, atol=1e-5)
    assert y.tolist() == [0, 0, 1, 1]
    assert len(own_family("rotated-folder", own.source)) == 36
    assert own_family("permuted-folder", own.source, 3)[2].name == "permuted-pets/2"
    with pytest.raises(InvalidInput, match="4 classes cannot be split into tasks of 3"):
        own_family("split-folder", own.source, options={"ways": 3})
    with pytest.raises(InvalidInput, match="--data"):
        task_family("split-folder")


def test_a_folder_with_the_name_of_a_known_data_set_is_not_that_one(tmp_path):
    own = read_own(make_folder(tmp_path / "mnist"))
    (recipe, _) = own_family("split-folder", own.source)
    assert recipe.dataset == "folder:mnist"
    assert recipe.source.classes == 4


def rename(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / "cat").rename(folder / part / "cow")


CHANGES = {
    "a test picture less": (lambda f: (f / "test/cat/1.png").unlink(), "test images: 8 and 7"),
    "a training picture more": (
        lambda f: shutil.copy(f / "train/cat/1.png", f / "train/cat/9.png"),
        "training images: 20 and 21",
    ),
    "a test picture more, of another size": (
        lambda f: Image.new("RGB", (9, 9)).save(f / "test/cat/9.png"),
        "test images: 8 and 9",
    ),
    "a class more": (
        lambda f: [shutil.copytree(f / p / "yak", f / p / "zebra") for p in ("train", "test")],
        "classes: 4 and 5",
    ),
    "one more and one less": (
        lambda f: (f / "train/cat/1.png").rename(f / "train/owl/9.png"),
        "training images or their names: digests",
    ),
    "another picture": (
        lambda f: shutil.copy(f / "test/cat/1.png", f / "test/cat/0.png"),
        "test images or their names: digests",
    ),
    "a class less": (
        lambda f: [shutil.rmtree(f / part / "yak") for part in ("train", "test")],
        "classes: 4 and 3",
    ),
    "a class of another name": (rename, "training images or their names: digests"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_named(change, tmp_path):
    folder = make_folder(tmp_path / "x")
    before = read_own(folder).source
    assert before.difference(read_own(folder).source) is None
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert before.difference(read_own(moved).source) is None
    make, difference = CHANGES[change]
    make(moved)
    assert difference in str(before.difference(read_own(moved, kept=before).source))


def odd_size(folder: Path) -> None:
    Image.new("RGB", (9, 9)).save(folder / "test" / "cat" / "7.png")


def only_black(folder: Path) -> None:
    for each in folder.glob("train/*/*.png"):
        Image.new("RGB", (6, 6)).save(each)


def test_a_picture_that_came_in_another_size_is_told_without_an_option_that_eval_lacks(tmp_path):
    folder = make_folder(tmp_path / "x", shape=(4, 7, 3))
    before = read_own(folder).source
    odd_size(folder)
    with pytest.raises(InvalidInput, match=r"7.png: 9×9 pixels, the first .* not on this one"):
        read_own(folder, kept=before)


BAD_FOLDERS = {
    "no test": (lambda f: shutil.rmtree(f / "test"), "no folder test or val"),
    "no train": (lambda f: shutil.rmtree(f / "train"), "no folder train"),
    "a class in one part": (lambda f: shutil.rmtree(f / "test" / "owl"), "'owl' is only in one"),
    "several sizes": (odd_size, "7.png: 9×9 pixels, the first picture has 6×6.*--size"),
    "no picture": (
        lambda f: (f / "test/cat/0.png").write_text("x"),
        r"0.png: not a readable picture \(of no",
    ),
    "nothing to see": (only_black, "all training pixels are the same"),
    "one class": (
        lambda f: [shutil.rmtree(f / p / c) for p in ("train", "test") for c in CLASSES[1:]],
        "at least two classes, got 1",
    ),
}


@pytest.mark.parametrize("what", BAD_FOLDERS)
@pytest.mark.parametrize("zipped", [False, True])
def test_folders_that_are_refused(what, zipped, tmp_path):
    folder = make_folder(tmp_path / "x")
    spoil, match = BAD_FOLDERS[what]
    spoil(folder)
    where = Path(shutil.make_archive(str(tmp_path / "x"), "zip", folder)) if zipped else folder
    if zipped:
        match = {"no test": "no pictures in test", "no train": "no pictures in train"}.get(
            what, match
        )
    with pytest.raises(InvalidInput, match=match):
        read_own(where)


Y = np.repeat(range(4), 5)
BAD_ARRAYS = {
    "none": ({"x_test": None}, "no array x_test"),
    "floats": ({"x_train": np.zeros((20, 6, 6))}, "x_train: expected bytes.*float64"),
    "rows": ({"x_train": np.zeros((20, 36), np.uint8)}, r"shape \(20, 36\)"),
    "fewer labels": ({"y_train": Y[1:]}, "20 train images and 19 labels"),
    "labels below 0": ({"y_train": Y - 1}, "whole numbers from 0"),
    "real labels": ({"y_train": Y / 2}, "whole numbers from 0"),
    "names": ({"classes": np.array(["a", "b"])}, "expected 4 different names, got 2"),
    "names twice": ({"classes": np.array(["a", "b", "c", "a"])}, "different names"),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_arrays_that_are_refused(what, tmp_path):
    other, match = BAD_ARRAYS[what]
    with pytest.raises(InvalidInput, match=match):
        read_own(make_arrays(tmp_path / "x.npz", **other))


@pytest.mark.parametrize("name", ["none", "none.npz", "none.zip", "x.txt"])
def test_what_is_no_data(name, tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(InvalidInput, match=name):
        read_own(tmp_path / name)


def test_a_recipe_of_somebody_elses_file_is_parsed(tmp_path):
    source = read_own(make_folder(tmp_path / "x")).source
    good = source.to_json()
    assert OwnSource.from_json("folder:x", good).to_json() == good
    for key, bad in (
        ("classes", 0),
        ("height", 10**9),
        ("train", 5),
        ("mean", "x"),
        ("mean", [0.1, 0.2]),
        ("mean", 0.5),
        ("std", [0.0, 0.1, 0.1]),
        ("std", [0.1, 0.1, float("nan")]),
        ("test_size", "many"),
    ):
        with pytest.raises(InvalidInput, match="task recipe"):
            OwnSource.from_json("folder:x", good | {key: bad})
    recipe = own_family("split-folder", source)[0].to_json()
    for other in (None, {}, good | {"more": 1}):
        with pytest.raises(InvalidInput, match="own data"):
            TaskRecipe.from_json(recipe | {"own": other})
    with pytest.raises(InvalidInput, match="folder:"):
        TaskRecipe(dataset="mnist", rule="split", index=0, own=source)


def test_images_for_inference_are_read_as_in_training(tmp_path):
    folder = make_folder(tmp_path / "x")
    own = read_own(folder, size=3)
    (recipe, _) = own_family("split-folder", own.source)
    expected, _ = next(make_task(recipe, own.images).test_batches(2))
    found = read_own_images(folder / "test" / "cat", own.source)
    assert found.files == ("0.png", "1.png")
    torch.testing.assert_close(found.images, expected)
    for array in (own.images.test_images[:2], expected):  # bytes, and normalised floats
        np.save(tmp_path / "x.npy", array.numpy())
        torch.testing.assert_close(read_own_images(tmp_path / "x.npy", own.source).images, expected)
    np.save(tmp_path / "other.npy", np.zeros((2, 3, 5, 5), np.uint8))
    with pytest.raises(InvalidInput, match="3×3 pixels"):
        read_own_images(tmp_path / "other.npy", own.source)
