"""Masks coded beside training: the same file, nothing held up, nothing lost that was trained."""

import threading
import time

import pytest

from maskstore import MaskArchive
from maskstore.errors import ArchiveWriteError, InvalidMask
from supsup import TrainConfig, build, train
from supsup.archives import create_archive, iter_train_into
from supsup.archives.storing import WAITING, append
from supsup.errors import TrainingDiverged
from supsup.training.metadata import with_metrics
from supsup.training.progress import diverged
from tests.supsup.helpers import Blobs, small_lenet

BACKBONE = build(small_lenet())
CONFIG = TrainConfig(steps=2, batch=16)
TASKS = [Blobs(name=f"blobs/{at}") for at in range(4)]
FAILED = diverged("blobs/x", CONFIG, "its loss is not finite")
LONG = 30.0
"""Seconds that are never waited for unless a thread waits for ever."""


@pytest.fixture(scope="module")
def masks():
    return list(train(BACKBONE, TASKS, CONFIG))


@pytest.fixture
def archive(tmp_path):
    with create_archive(tmp_path / "a.h5", BACKBONE) as opened:
        yield opened


@pytest.fixture
def before_coding(monkeypatch):
    """Things to be done before a mask is coded, in the thread that codes it."""
    calls, encode = [], MaskArchive.encode

    def watched(self, name, *given, **named):
        for call in calls:
            call(name)
        return encode(self, name, *given, **named)

    monkeypatch.setattr(MaskArchive, "encode", watched)
    return calls


@pytest.mark.parametrize("parallel", [None, 1, 3])
def test_the_file_is_that_of_masks_added_one_by_one(parallel, tmp_path, archive, before_coding):
    with create_archive(tmp_path / "b.h5", BACKBONE) as other:
        for each in train(BACKBONE, TASKS, CONFIG, parallel=parallel):
            metadata = with_metrics(each.metadata, each.metrics)
            other.add(each.name, each.masks, metadata, tensors=each.tensors)
    before_coding.append(lambda name: time.sleep(0.1 * (name == "blobs/0")))  # the last one coded
    stored = iter_train_into(archive, BACKBONE, TASKS, CONFIG, parallel=parallel)
    assert [each.name for each in stored] == [task.name for task in TASKS]
    archive.close()
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_resumed_it_is_the_file_of_one_run(tmp_path, archive):
    for each in iter_train_into(archive, BACKBONE, TASKS, CONFIG):
        if each.name == "blobs/1":
            break
    assert archive.names() == ["blobs/0", "blobs/1"]
    list(iter_train_into(archive, BACKBONE, TASKS, CONFIG, resume=True))
    archive.close()
    with create_archive(tmp_path / "b.h5", BACKBONE) as other:
        list(iter_train_into(other, BACKBONE, TASKS, CONFIG))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_training_goes_on_while_a_mask_is_coded(archive, masks, before_coding, monkeypatch):
    monkeypatch.setattr("supsup.archives.storing.WAITING", len(masks) + 1)
    all_trained = threading.Event()
    waited = []

    def coming():
        yield from masks
        all_trained.set()

    before_coding.append(lambda name: waited.append(all_trained.wait(LONG)))
    assert len(list(append(archive, coming()))) == len(masks)
    assert all(waited)


def test_a_mask_is_stored_while_the_next_task_is_trained(archive):
    stored = threading.Event()
    waited = []

    class Slow(Blobs):
        def train_batch(self, indices):
            if not waited:
                waited.append(stored.wait(LONG))
            return super().train_batch(indices)

    tasks = [TASKS[0], Slow(name="slow")]
    left = iter_train_into(archive, BACKBONE, tasks, CONFIG, parallel=1)
    assert next(left).name == "blobs/0"
    assert archive.names() == ["blobs/0"]
    stored.set()
    assert next(left).name == "slow"
    assert waited == [True]


def test_training_waits_for_a_full_line(archive, masks, before_coding):
    given, begin = [], threading.Event()

    def coming():
        for at in range(3 * WAITING):
            given.append(at)
            yield masks[0]

    def code(name):
        begin.wait(LONG)
        raise InvalidMask("no such thing")

    before_coding.append(code)
    threading.Timer(0.2, begin.set).start()
    with pytest.raises(InvalidMask, match="no such thing"):
        list(append(archive, coming()))
    assert len(given) == WAITING


@pytest.mark.parametrize("end", [KeyboardInterrupt(), FAILED, OSError("no such data")])
def test_what_was_trained_before_the_end_is_stored(end, archive, masks, before_coding):
    def coming():
        yield from masks[:3]
        raise end

    before_coding.append(lambda name: time.sleep(0.05))
    seen = []
    with pytest.raises(type(end)):
        for each in append(archive, coming()):
            seen.append(each.name)
    assert seen == archive.names() == ["blobs/0", "blobs/1", "blobs/2"]


@pytest.mark.parametrize("interrupts", [1, 2])
def test_interrupted_while_the_line_is_full_it_stores_the_line(
    interrupts, archive, masks, before_coding, monkeypatch
):
    monkeypatch.setattr("supsup.archives.storing.WAITING", 2)
    left = [KeyboardInterrupt()] * interrupts
    begin = threading.Event()

    def interrupted(futures):
        if left:
            raise left.pop()
        begin.set()
        futures[0].result()

    before_coding.append(lambda name: begin.wait(LONG))
    monkeypatch.setattr("supsup.archives.storing.wait", interrupted)
    threading.Timer(0.3, begin.set).start()
    with pytest.raises(KeyboardInterrupt):
        list(append(archive, masks))
    assert archive.names() == (["blobs/0", "blobs/1"] if interrupts == 1 else [])


def test_a_task_without_a_mask_is_told_of_in_its_place(archive, masks, before_coding):
    told = []
    before_coding.append(lambda name: time.sleep(0.05))
    stored = append(
        archive,
        [masks[0], FAILED, masks[1]],
        diverged=lambda error: told.append((error, archive.names())),
    )
    assert [each.name for each in stored] == ["blobs/0", "blobs/1"]
    assert told == [(FAILED, ["blobs/0"])]


def test_a_task_without_a_mask_ends_it_where_nobody_is_told(archive, masks, before_coding):
    before_coding.append(lambda name: time.sleep(0.05))
    with pytest.raises(TrainingDiverged, match="blobs/x"):
        list(append(archive, [masks[0], FAILED, masks[1]]))
    assert archive.names() == ["blobs/0"]


def test_a_mask_that_cannot_be_coded_ends_it_in_its_place(archive, masks, before_coding):
    def code(name):
        if name == "blobs/1":
            raise InvalidMask("no such thing")

    before_coding.append(code)
    with pytest.raises(InvalidMask, match="no such thing"):
        list(append(archive, masks))
    assert archive.names() == ["blobs/0"]


def test_a_full_disk_ends_it_and_nothing_behind_is_stored(archive, masks, monkeypatch):
    add = MaskArchive.add_encoded

    def full(self, task):
        if task.name == "blobs/1":
            raise ArchiveWriteError("disk full")
        return add(self, task)

    monkeypatch.setattr(MaskArchive, "add_encoded", full)
    with pytest.raises(ArchiveWriteError, match="disk full"):
        list(append(archive, masks))
    assert archive.names() == ["blobs/0"]


def test_an_error_ends_the_training_even_while_it_is_kept(archive, masks):
    ended = threading.Event()

    def coming():
        try:
            yield masks[0]
            yield FAILED
            yield masks[1]
        finally:
            ended.set()

    with pytest.raises(TrainingDiverged) as kept:
        list(append(archive, coming()))
    assert kept.value is FAILED
    assert ended.is_set()


def test_who_asks_for_no_more_gets_no_more(archive, masks):
    left = append(archive, masks)
    next(left)
    left.close()
    assert archive.names() == ["blobs/0"]
    assert not [each for each in threading.enumerate() if "ThreadPool" in each.name]
