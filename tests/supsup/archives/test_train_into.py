"""Training into an archive: at once, or mask by mask; names that are taken."""

import pytest

from maskstore.errors import TaskExists
from supsup import TrainConfig, build
from supsup.archives import create_archive, iter_train_into, train_into
from tests.supsup.helpers import Blobs, small_lenet

BACKBONE = build(small_lenet())
CONFIG = TrainConfig(steps=2, batch=16)
TASKS = [Blobs(name="blobs/0"), Blobs(name="blobs/1")]


def test_a_plain_statement_trains(tmp_path):
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        train_into(archive, BACKBONE, TASKS, CONFIG)
        assert archive.names() == ["blobs/0", "blobs/1"]


def test_the_iterator_gives_each_mask_as_it_is_stored(tmp_path):
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        left = iter_train_into(archive, BACKBONE, TASKS, CONFIG)
        assert len(archive) == 0
        assert next(left).name == "blobs/0"
        assert archive.names() == ["blobs/0"]


@pytest.mark.parametrize("tasks", [[TASKS[1], TASKS[0]], [TASKS[1], TASKS[1]]])
def test_a_name_that_is_taken_is_refused_before_anything_is_trained(tmp_path, tasks):
    seen = []
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        train_into(archive, BACKBONE, TASKS[:1], CONFIG)
        with pytest.raises(TaskExists, match="there is a task 'blobs/.' already"):
            train_into(archive, BACKBONE, tasks, CONFIG, progress=seen.append)
        assert archive.names() == ["blobs/0"]
    assert not seen
