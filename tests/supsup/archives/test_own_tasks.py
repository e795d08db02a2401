"""Masks of a user's own data: evaluated, inferred and resumed; names mean nothing."""

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from maskstore import MaskArchive
from maskstore.errors import InvalidInput, TaskNotFound
from supsup import DatasetTask, LoaderTask, TensorTask, TrainConfig, build
from supsup.archives import bank_of, create_archive, evaluate_archive, infer_file, train_into
from supsup.archives.tasks import classes_of
from supsup.datasets import load
from supsup.inference import infer_in
from supsup.tasks import make_task, task_family
from supsup.tasks.fingerprint import Fingerprint
from tests.supsup.helpers import Blobs, small_lenet

BACKBONE = build(small_lenet(outputs=8))
CONFIG = TrainConfig(steps=60)


def blobs(number: int, **options: int) -> Blobs:
    return Blobs(name=f"blobs/{number}", **options)


def pairs(data: Blobs) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    cut = data.train_size
    return {"train": (data.x[:cut], data.y[:cut]), "test": (data.x[cut:], data.y[cut:])}


def tensors(data: Blobs, name: str | None = None) -> TensorTask:
    return TensorTask(name or data.name, **pairs(data), classes=data.classes)


def dataset(data: Blobs, name: str | None = None) -> DatasetTask:
    sets = {part: TensorDataset(*pair) for part, pair in pairs(data).items()}
    return DatasetTask(name or data.name, **sets, classes=data.classes)


def loader(data: Blobs, name: str | None = None) -> LoaderTask:
    sets = {part: TensorDataset(*pair) for part, pair in pairs(data).items()}
    loaders = {part: DataLoader(each, batch_size=128) for part, each in sets.items()}
    return LoaderTask(name or data.name, **loaders, classes=data.classes)


def custom(data: Blobs, name: str | None = None) -> Blobs:
    data.name = name or data.name
    return data


FORMS = [tensors, dataset, loader, custom]


def ones() -> dict[str, np.ndarray]:
    return {name: np.ones(shape, bool) for name, shape in BACKBONE.layout.shapes.items()}


@pytest.mark.parametrize("form", FORMS)
def test_own_tasks_are_evaluated_and_inferred(tmp_path, form):
    tasks = [form(blobs(0)), form(blobs(1, classes=4))]
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        stored = train_into(archive, BACKBONE, tasks, CONFIG)
        assert [classes_of(each) for each in stored] == [2, 4]
        measured = [each.metadata["metrics"]["accuracy"] for each in stored]
        again = [form(blobs(0)), form(blobs(1, classes=4))]
        found = evaluate_archive(archive, BACKBONE, tasks=again)
        assert [row.accuracy for row in found.per_task] == measured
        shared = evaluate_archive(archive, BACKBONE, tasks=again, scenario="GNu", mode="batch")
        assert shared.task_accuracy == 1
        bank = bank_of(archive, BACKBONE)
        assert bank.classes == 4
        images = blobs(1, classes=4).x[300:340]
        assert set(infer_in(bank, images, mode="batch").names) == {"blobs/1"}
        np.save(tmp_path / "x.npy", images.numpy())
        assert infer_file(archive, BACKBONE, tmp_path / "x.npy", mode="batch").names[0] == "blobs/1"


@pytest.mark.parametrize("form", FORMS)
def test_the_data_decide_not_the_name(tmp_path, form):
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        train_into(archive, BACKBONE, [form(blobs(0)), form(blobs(1))], CONFIG)
        swapped = [form(blobs(0), "blobs/1"), form(blobs(1), "anything")]
        found = evaluate_archive(archive, BACKBONE, tasks=swapped)
        assert [row.name for row in found.per_task] == ["blobs/0", "blobs/1"]
        assert min(row.accuracy for row in found.per_task) > 0.9


def test_other_data_are_refused_by_what_differs(tmp_path):
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        train_into(archive, BACKBONE, [tensors(blobs(0))], CONFIG)
        changed = blobs(0)
        changed.x = changed.x + 1
        for other, message in (
            (tensors(changed), "trained on other data .test images or labels"),
            (tensors(blobs(0, test=100)), r"other data .test images: 130 and 100"),
        ):
            with pytest.raises(InvalidInput, match=message):
                evaluate_archive(archive, BACKBONE, tasks=[other])
            assert len(evaluate_archive(archive, BACKBONE, tasks=[other], force=True).per_task) == 1
        with pytest.raises(TaskNotFound, match="no mask was trained on the data of task 'x'"):
            evaluate_archive(archive, BACKBONE, tasks=[tensors(changed, "x")])
        with pytest.raises(InvalidInput, match="user's own data, .* hand them over"):
            evaluate_archive(archive, BACKBONE)


def test_a_mask_added_by_hand_blocks_nothing(tmp_path):
    backbone = build(small_lenet(outputs=10, pixels=784))
    digits = load("mnist-sample")
    (recipe,) = task_family("permuted-mnist-sample", 1)
    with create_archive(tmp_path / "a.h5", backbone) as archive:
        train_into(archive, backbone, [make_task(recipe, digits)], TrainConfig(steps=20))
        masks = {name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()}
        archive.add("by-hand", masks)
        archive.add("with-classes", masks, {"classes": 7})
        for scenario in ("GG", "GNs"):
            found = evaluate_archive(archive, backbone, scenario=scenario)
            assert [row.name for row in found.per_task] == ["permuted-mnist/0"]
            assert [each["name"] for each in found.to_json()["skipped"]] == [
                "by-hand",
                "with-classes",
            ]
        assert bank_of(archive, backbone).names == ["permuted-mnist/0", "with-classes"]
        np.save(tmp_path / "x.npy", digits.test_images[:4].numpy())
        inferred = infer_file(archive, backbone, tmp_path / "x.npy")
        assert inferred.note == "skipped by-hand: added by hand without the number of its classes"


def test_masks_added_by_hand_alone_are_refused(tmp_path):
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        archive.add("by-hand", ones())
        with pytest.raises(InvalidInput, match="'by-hand' was added by hand .*classes.*: 10"):
            bank_of(archive, BACKBONE)


def test_a_renamed_task_is_evaluated_as_what_it_is(tmp_path):
    backbone = build(small_lenet(outputs=10, pixels=784))
    digits = load("mnist-sample")
    first, second = task_family("permuted-mnist-sample", 2)
    config = TrainConfig(steps=40)
    with create_archive(tmp_path / "a.h5", backbone) as archive:
        tasks = [make_task(each, digits) for each in (first, second)]
        kept = train_into(archive, backbone, tasks, config)
        masks, about = archive.get(first.name), kept[0].metadata
        measured = [each.metadata["metrics"]["accuracy"] for each in kept]
        archive.remove(first.name)
        archive.add("mine", masks, about)
        for scenario in ("GG", "GNu"):
            rows = evaluate_archive(archive, backbone, scenario=scenario, mode="batch").per_task
            assert [row.name for row in rows] == [second.name, "mine"]
            if scenario == "GG":
                assert [row.accuracy for row in rows] == measured[::-1]
            else:
                assert min(row.task_accuracy for row in rows) > 0.5
        assert not train_into(archive, backbone, tasks, config, resume=True)


@pytest.mark.parametrize("form", FORMS)
def test_own_tasks_resume_by_their_data(tmp_path, form):
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        train_into(archive, BACKBONE, [form(blobs(0))], CONFIG)
        both = [form(blobs(0), "another name"), form(blobs(1))]
        stored = train_into(archive, BACKBONE, both, CONFIG, resume=True)
        assert [each.name for each in stored] == ["blobs/1"]
        with pytest.raises(InvalidInput, match="'blobs/0' was trained with training steps 60"):
            train_into(archive, BACKBONE, both, TrainConfig(steps=7), resume=True)


def test_fingerprints_depend_on_the_data_alone():
    data = blobs(0)
    found = [Fingerprint.of(form(blobs(0))) for form in FORMS]
    assert len({each.test for each in found}) == 1
    assert all(each.difference(found[0]) is None for each in found)
    assert Fingerprint.from_json(json.loads(json.dumps(found[0].to_json()))) == found[0]
    data.y[0] = 1 - data.y[0]  # a training label
    assert "training" in str(Fingerprint.of(tensors(data)).difference(found[0]))
    for junk in (None, {}, found[0].to_json() | {"test": 3}, found[0].to_json() | {"low": "x"}):
        assert Fingerprint.from_json(junk) is None


def test_numbers_of_another_range_are_refused(tmp_path):
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        train_into(archive, BACKBONE, [tensors(blobs(0))], CONFIG)
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        bank = bank_of(archive, BACKBONE)
        with pytest.raises(InvalidInput, match="numbers from 0 to 255, where the masks"):
            infer_in(bank, torch.linspace(0, 255, 40).view(2, 20))
        (tmp_path / "pictures").mkdir()
        with pytest.raises(InvalidInput, match="how pictures became numbers is not known"):
            infer_file(archive, BACKBONE, tmp_path / "pictures")
