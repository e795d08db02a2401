"""Masks of one backbone never meet the weights of another: every way is refused beforehand."""

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.errors import DigestMismatch
from supsup import TrainConfig, build
from supsup.archives import bank_of, create_archive, evaluate_archive, infer_file, train_into
from supsup.checkpoints import export_dense
from supsup.datasets import load
from supsup.inference import MaskBank, Streamed, infer
from supsup.networks.weights import digest_of
from supsup.recovery import encode_archive
from supsup.task_free import Learner, learn_into
from supsup.tasks import make_task, task_family
from tests.supsup.helpers import small_lenet

CONFIG = TrainConfig(steps=2)
RIGHT, WRONG = small_lenet(pixels=784, seed=0), small_lenet(pixels=784, seed=1)


@pytest.fixture(scope="module")
def tasks():
    digits = load("mnist-sample")
    return [make_task(recipe, digits) for recipe in task_family("split-mnist-sample")[:2]]


@pytest.fixture
def archive(tmp_path, tasks):
    with create_archive(tmp_path / "a.h5", build(RIGHT)) as made:
        list(train_into(made, build(RIGHT), tasks[:1], CONFIG))
        yield made


WAYS = {
    "train": lambda a, b, tasks, tmp: list(train_into(a, b, tasks[1:], CONFIG)),
    "train nothing": lambda a, b, tasks, tmp: list(train_into(a, b, [], CONFIG)),
    "learn": lambda a, b, tasks, tmp: list(learn_into(a, Learner(b, CONFIG, classes=2), [])),
    "GG": lambda a, b, tasks, tmp: evaluate_archive(a, b),
    "GNs": lambda a, b, tasks, tmp: evaluate_archive(a, b, scenario="GNs"),
    "GNu": lambda a, b, tasks, tmp: evaluate_archive(a, b, scenario="GNu"),
    "NNs": lambda a, b, tasks, tmp: evaluate_archive(a, b, scenario="NNs"),
    "bank_of": lambda a, b, tasks, tmp: bank_of(a, b),
    "MaskBank": lambda a, b, tasks, tmp: MaskBank(b, a),
    "streamed": lambda a, b, tasks, tmp: MaskBank(b, Streamed(a)),
    "infer": lambda a, b, tasks, tmp: infer(b, a, next(iter(tasks[0].test_batches(4)))[0]),
    "infer_file": lambda a, b, tasks, tmp: infer_file(a, b, _file(tmp)),
    "export": lambda a, b, tasks, tmp: export_dense(
        a, a.names()[0], b, tmp / "dense.safetensors"
    ),
}  # fmt: skip


def _file(folder):
    np.save(folder / "x.npy", np.zeros((2, 28, 28), np.uint8))
    return folder / "x.npy"


@pytest.mark.parametrize("way", WAYS)
def test_refused_in_one_line_and_nothing_changes(way, archive, tasks, tmp_path):
    before, size = archive.names(), archive.file_bytes
    WAYS[way](archive, build(RIGHT), tasks, tmp_path) if way != "train" else None
    (tmp_path / "dense.safetensors").unlink(missing_ok=True)
    with pytest.raises(DigestMismatch, match="a.h5: its masks are of weights of digest") as caught:
        WAYS[way](archive, build(WRONG), tasks, tmp_path)
    assert "\n" not in str(caught.value)
    assert (archive.names(), archive.file_bytes) == (before, size)
    assert not (tmp_path / "dense.safetensors").exists()


def test_a_memory_is_encoded_with_the_archives_own_network_only(tmp_path):
    right = build(RIGHT)
    with MaskArchive.create(
        tmp_path / "a.h5",
        right.layout,
        backbone=WRONG.to_json(),
        weights_digest=right.digest,
    ) as archive:
        archive.add("task", {n: np.ones(s, bool) for n, s in right.layout.shapes.items()})
        with pytest.raises(DigestMismatch):
            encode_archive(archive)


def test_masks_added_by_hand_go_with_any_network(tmp_path, tasks):
    right = build(RIGHT)
    with MaskArchive.create(tmp_path / "a.h5", right.layout) as archive:
        archive.add("task", {n: np.ones(s, bool) for n, s in right.layout.shapes.items()})
        assert len(MaskBank(build(WRONG), archive)) == 1


def test_an_import_knows_the_weights_under_its_masks_only(tmp_path):
    right = build(RIGHT)
    digest = digest_of(right.weights.items())
    with MaskArchive.create(tmp_path / "a.h5", right.layout, weights_digest=digest) as archive:
        archive.add("task", {n: np.ones(s, bool) for n, s in right.layout.shapes.items()})
        assert len(MaskBank(right, archive)) == 1
        with pytest.raises(DigestMismatch):
            MaskBank(build(WRONG), archive)
