"""Transfer from the tasks of an archive: gone on with to the same bits, or refused."""

import os

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.errors import ArchiveWriteError, InvalidInput
from supsup import TrainConfig, build, train
from supsup.archives import create_archive, train_into
from tests.supsup.helpers import Blobs, small_lenet

BACKBONE = build(small_lenet())
TASKS = [Blobs(name=f"blobs/{at}") for at in range(4)]
SCORES = TrainConfig(steps=20, transfer="scores")


def contents(path):
    with MaskArchive.open(path) as archive:
        return [(task.name, task.sha256, task.metadata) for task in archive]


def trained(path, tasks=TASKS, config=SCORES):
    opened = MaskArchive.open(path, "a") if path.exists() else create_archive(path, BACKBONE)
    with opened as archive:
        train_into(archive, BACKBONE, tasks, config)
    return path


@pytest.mark.parametrize("kind", ["masks", "scores"])
def test_an_archive_goes_on_as_if_never_stopped(kind, tmp_path):
    config = TrainConfig(steps=20, transfer=kind, shared_scores=False)
    whole = contents(trained(tmp_path / "a.h5", config=config))
    for part in (TASKS[:1], TASKS[1:3], TASKS[3:], []):
        trained(tmp_path / "b.h5", part, config)
    assert contents(tmp_path / "b.h5") == whole
    assert [metadata["earlier"] for _, _, metadata in whole] == [0, 1, 2, 3]


def test_what_is_kept_is_the_sum_of_the_scores(tmp_path):
    from safetensors.numpy import load_file

    trained(tmp_path / "a.h5")
    found = [mask.scores for mask in train(BACKBONE, TASKS, SCORES)]
    (kept,) = load_file(tmp_path / "a.h5.scores").values()
    np.testing.assert_array_equal(kept, ((found[0] + found[1]) + found[2]) + found[3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "a.h5.scores"]


class Stop(Exception):
    pass


@pytest.mark.parametrize("moment", ["before the mask", "after the mask"])
def test_stopped_between_the_two_files_it_goes_on_to_the_same_bits(moment, tmp_path, monkeypatch):
    whole = contents(trained(tmp_path / "a.h5"))
    path = tmp_path / "b.h5"
    trained(path, TASKS[:2])

    def stop(*given, **named):
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        if moment == "before the mask":
            patch.setattr(MaskArchive, "add_encoded", stop)
        else:
            patch.setattr(os, "replace", stop)
            patch.setattr(type(path), "replace", stop)
        trained(path, TASKS[2:])
    there = len(contents(path))
    assert there == (2 if moment == "before the mask" else 3)
    assert (tmp_path / "b.h5.scores.next").exists()
    trained(path, TASKS[there:])
    assert contents(path) == whole


def test_a_torn_next_file_is_not_looked_at(tmp_path):
    trained(tmp_path / "a.h5", TASKS[:2])
    (tmp_path / "a.h5.scores.next").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    trained(tmp_path / "a.h5", TASKS[2:])
    assert contents(tmp_path / "a.h5") == contents(trained(tmp_path / "b.h5"))


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), r"a\.h5\.scores is not there"),
        (_flip, "does not hold those"),
        (lambda path: path.write_bytes(b""), "does not hold those"),
        (lambda path: path.write_bytes(bytes(10_000)), "does not hold those"),
        (lambda path: path.write_bytes((path.parent / "b.h5.scores").read_bytes()), "not hold"),
    ],
    ids=["missing", "flipped", "empty", "large", "of another archive"],
)
def test_what_does_not_belong_is_refused_and_the_archive_left(spoil, message, tmp_path):
    path = trained(tmp_path / "a.h5", TASKS[:2])
    trained(tmp_path / "b.h5", TASKS[1:3])
    spoil(tmp_path / "a.h5.scores")
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match=message):
        trained(path, TASKS[2:])
    trained(path, [])  # nothing to do takes no scores
    assert path.read_bytes() == before


def test_an_archive_of_other_tasks_is_none_to_go_on_with(tmp_path):
    path = trained(tmp_path / "a.h5", TASKS[:1], TrainConfig(steps=1))
    with pytest.raises(InvalidInput, match="goes on with the scores of its 1 tasks"):
        trained(path, TASKS[1:])


def test_what_is_left_of_a_deleted_archive_does_no_harm(tmp_path):
    path = trained(tmp_path / "a.h5", TASKS[2:])
    path.unlink()
    assert contents(trained(path)) == contents(trained(tmp_path / "b.h5"))


def test_a_full_disk_is_an_error_of_writing(tmp_path):
    (tmp_path / "a.h5.scores.next").mkdir()
    with pytest.raises(ArchiveWriteError, match=r"a\.h5\.scores\.next: cannot write"):
        trained(tmp_path / "a.h5")
    assert contents(tmp_path / "a.h5") == []
