"""The classes of a task, by number and name, from its data through the archive to predictions."""

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from maskstore import InvalidInput, MaskArchive
from supsup import DatasetTask, LoaderTask, TensorTask, TrainConfig, build
from supsup.archives import bank_of, create_archive, infer_file, inference_json, train_into
from supsup.archives.classes import class_names_of_mask, classes_of, labels_of
from supsup.tasks import TaskRecipe
from supsup.tasks.class_names import class_names_of, parse_classes
from supsup.tasks.subset import subset
from supsup.training.metadata import TaskMetadata
from tests.supsup.helpers import Blobs, small_lenet

NAMES = ("cat", "dog", "a bird")


def pairs(classes: int = 3) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    blobs = Blobs(classes=classes)
    x, y = blobs.x, blobs.y
    return (x[:300], y[:300]), (x[300:], y[300:])


class Named(TensorDataset):
    classes = NAMES


class OwnTask(Blobs):
    class_names = NAMES


def tasks() -> dict:
    train, test = pairs()
    sets = [Named(*part) for part in (train, test)]
    loaders = [DataLoader(each, batch_size=50) for each in sets]
    return {
        "tensors": TensorTask("own", train=train, test=test, classes=NAMES),
        "data set": DatasetTask("own", train=sets[0], test=sets[1]),
        "data set, named": DatasetTask("own", train=sets[0], test=sets[1], classes=list(NAMES)),
        "loaders": LoaderTask("own", train=loaders[0], test=loaders[1], classes=NAMES),
        "an object": OwnTask(name="own", classes=3),
        "a part": subset(TensorTask("own", train=train, test=test, classes=NAMES)),
    }


@pytest.mark.parametrize("kind", tasks())
def test_names_are_kept_with_the_mask_and_come_back(kind, tmp_path):
    with create_archive(tmp_path / "a.h5", build(small_lenet())) as archive:
        config = TrainConfig(steps=2, batch=50)
        (stored,) = train_into(archive, build(small_lenet()), [tasks()[kind]], config)
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        stored = archive.task("own")
        assert json.loads(json.dumps(stored.metadata))["classes"] == list(NAMES)
        assert classes_of(stored) == 3
        assert class_names_of_mask(stored) == NAMES
        assert labels_of(archive, ["own"] * 3, [2, 0, 1]) == ("a bird", "cat", "dog")


def test_a_number_stays_a_number(tmp_path):
    with create_archive(tmp_path / "a.h5", build(small_lenet())) as archive:
        config = TrainConfig(steps=2, batch=50)
        (stored,) = train_into(archive, build(small_lenet()), [Blobs(name="b", classes=3)], config)
        assert stored.metadata["classes"] == 3
        assert class_names_of_mask(stored) is None
        assert labels_of(archive, ["b"], [1]) == (None,)


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        (TaskRecipe(dataset="mnist-sample", rule="split", index=1), ("2", "3")),
        (
            TaskRecipe(dataset="mnist", rule="split", index=1, options={"labels": "original"}),
            tuple("0123456789"),
        ),
        (TaskRecipe(dataset="fashion-mnist", rule="split", index=0), ("T-shirt/top", "Trouser")),
        (TaskRecipe(dataset="mnist", rule="permuted", index=4), tuple("0123456789")),
        (TaskRecipe(dataset="elsewhere", rule="split", index=1), None),
    ],
)
def test_the_labels_of_a_recipe_are_classes_of_its_data_set(recipe, names, tmp_path):
    archive = MaskArchive.create(tmp_path / "a.h5", {"w": (3,)})
    mask = {"w": np.ones(3, bool)}
    with archive:
        assert class_names_of_mask(archive.add("x", mask, {"task": recipe.to_json()})) == names


def test_predictions_of_a_file_have_names_and_each_task_its_own_classes(tmp_path):
    train, test = pairs()
    backbone = build(small_lenet(outputs=5))
    own = TensorTask("three", train=train, test=test, classes=NAMES)
    other = Blobs(name="two", classes=2)
    with create_archive(tmp_path / "a.h5", backbone) as archive:
        train_into(archive, backbone, [own, other], TrainConfig(steps=40, batch=50))
        assert bank_of(archive, backbone).class_counts.tolist() == [3, 2]
        np.save(tmp_path / "x.npy", test[0][:20].numpy())
        found = infer_file(archive, backbone, tmp_path / "x.npy", mode="batch")
        assert found.names == ("three",) * 20
        expected = tuple(NAMES[at] for at in found.predictions)
        assert found.labels == expected
        images = inference_json(archive, found, "batch")["images"]
        assert tuple(image["label"] for image in images) == expected
        assert [image["prediction"] for image in images] == found.predictions.tolist()
        np.save(tmp_path / "x.npy", other.x[300:320].numpy())
        found = infer_file(archive, backbone, tmp_path / "x.npy", mode="batch")
        assert found.labels == (None,) * 20
        assert found.predictions.max() < 2


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        (0, "expected"),
        ("ab", "expected"),
        ([], "names in the order"),
        (["a", 1], "names in the order"),
        (["a", ""], "names in the order"),
        (["a", "b", "a"], "'a' is there twice"),
    ],
)
def test_what_are_no_classes(classes, match):
    with pytest.raises(InvalidInput, match=f"task 'x'.*{match}"):
        parse_classes(classes, "task 'x'")


@pytest.mark.parametrize(
    ("names", "match"), [(["a", "b"], "3 classes and 2 class names"), (3, "got 3"), ([1], "names")]
)
def test_a_task_whose_names_do_not_fit_is_refused_before_it_is_trained(names, match, tmp_path):
    task = Blobs(name="own", classes=3)
    task.class_names = names
    with pytest.raises(InvalidInput, match=match):
        class_names_of(task)
    backbone = build(small_lenet())
    with create_archive(tmp_path / "a.h5", backbone) as archive:
        with pytest.raises(InvalidInput, match=match):
            train_into(archive, backbone, [task], TrainConfig(steps=10**9, batch=50))
        assert len(archive) == 0


def test_metadata_of_names_and_of_what_is_none():
    kept = TaskMetadata(classes=2, class_names=("a", "b")).to_json()
    assert kept["classes"] == ["a", "b"]
    back = TaskMetadata.from_json(kept)
    assert (back.classes, back.class_names) == (2, ("a", "b"))
    for odd in ([], [1], {"a": 1}, True, -1, "ab", None):
        found = TaskMetadata.from_json({"classes": odd})
        assert (found.classes, found.class_names) == (None, None)
