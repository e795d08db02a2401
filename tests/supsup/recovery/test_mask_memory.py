"""Encode, save, open, recover from Python; the archive is gone by then."""

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.errors import ArchiveNotFound, InvalidInput, NotAnArchive
from supsup import BackboneRecipe, TrainConfig
from supsup.archives import train_missing
from supsup.recovery import (
    MaskMemory,
    compare_family,
    encode_archive,
    recover_from,
    recovery_images,
)
from supsup.tasks import task_family

FAMILY = "split-mnist-sample"
TRAINING = {"tasks": 2, "steps": 20}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The file of a memory of two masks, and the masks."""
    folder = tmp_path_factory.mktemp("memory")
    path = folder / "a.h5"
    network = BackboneRecipe(net="bn-2048", outputs=10)
    train_missing(path, task_family(FAMILY)[:2], network, TrainConfig(steps=20))
    with MaskArchive.open(path) as archive:
        encode_archive(archive).save(folder / "memory.h5")
        masks = {name: archive.get(name) for name in archive.names()}
    path.unlink()
    return folder / "memory.h5", masks


def test_a_mask_comes_back_from_the_file_alone(stored):
    path, masks = stored
    known = MaskMemory.open(path)
    assert [task.name for task in known.tasks] == list(masks)
    images = recovery_images(known, dataset=FAMILY, task="split-mnist/1")
    found = known.recover(images)
    assert known.task_of(found.pattern).name == "split-mnist/1"
    again = recover_from(path, dataset=FAMILY, task="split-mnist/1")
    assert again.document["exact"] is True
    assert all(np.array_equal(again.masks[n], m) for n, m in masks["split-mnist/1"].items())


def test_saved_and_opened_is_the_same_file(stored, tmp_path):
    path, _ = stored
    MaskMemory.open(path).save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({}, "say which images"),
        ({"task": "split-mnist/1"}, "say which images"),
        ({"dataset": FAMILY}, "say which images"),
        ({"dataset": FAMILY, "task": "split-mnist/7"}, "1 to 5 tasks"),
        ({"dataset": FAMILY, "task": "rotated-mnist/1"}, "has none of that name"),
        ({"dataset": FAMILY, "task": "mine"}, "NAME/NUMBER"),
    ],
)
def test_images_that_are_not_there(stored, which, message):
    with pytest.raises(InvalidInput, match=message):
        recovery_images(MaskMemory.open(stored[0]), **which)


def test_files_that_are_no_memory(stored, tmp_path):
    with pytest.raises(ArchiveNotFound):
        MaskMemory.open(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(NotAnArchive):
        MaskMemory.open(tmp_path / "text.h5")


def test_both_ways_of_storage_are_compared_seed_by_seed(tmp_path):
    told = []
    found = compare_family(
        FAMILY, tmp_path, **TRAINING, seeds=(0, 3), on_seed=lambda *seed: told.append(seed)
    )
    assert told == [(0, 4), (3, 4)]
    assert found["seeds"] == [0, 3]
    assert [(run["seed"], run["task"]) for run in found["runs"]] == [
        (seed, f"split-mnist/{at}") for seed in (0, 3) for at in (0, 1)
    ]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"{FAMILY}-?.h5")}
    again = compare_family(FAMILY, tmp_path, **TRAINING, seeds=(0, 3))
    assert again["exact_rate"] == found["exact_rate"] == 1
    assert len(before) == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}
