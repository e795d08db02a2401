"""Training that is called and dropped: a warning, not masks that somebody believes to have."""

import gc
import warnings

import pytest

from supsup import TrainConfig, build, train
from supsup.archives import create_archive, iter_train_into
from tests.supsup.helpers import Blobs, small_lenet

BLOBS = Blobs(classes=4)
CONFIG = TrainConfig(steps=2)


@pytest.fixture
def calls(tmp_path):
    backbone = build(small_lenet())
    with create_archive(tmp_path / "a.h5", backbone) as archive:
        yield {
            "train": lambda: train(backbone, [BLOBS], CONFIG),
            "iter_train_into": lambda: iter_train_into(archive, backbone, [BLOBS], CONFIG),
        }


def drop(call):
    call()
    gc.collect()


@pytest.mark.parametrize("name", ["train", "iter_train_into"])
def test_dropped_before_it_began(calls, name):
    with pytest.warns(RuntimeWarning, match=f"^{name}: nothing was trained.*(list|train_into)"):
        drop(calls[name])


@pytest.mark.parametrize("name", ["train", "iter_train_into"])
@pytest.mark.parametrize(
    "use", [list, next, lambda given: given.close()], ids=["list", "next", "close"]
)
def test_who_iterates_or_closes_is_not_warned(calls, name, use):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        use(calls[name]())
        gc.collect()
    assert not said
