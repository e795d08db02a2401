"""Outliers drawn from what an archive keeps of other tasks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskstore import MaskArchive
from maskstore.errors import InvalidInput
from supsup import TensorTask, TrainConfig, build, train
from supsup.archives import create_archive, train_into
from supsup.archives.other_tasks import other_tasks
from supsup.inference.prototypes import FeatureRecipe, add_prototypes
from supsup.tasks.subset import named
from supsup.training.drawn_images import DrawnImages
from supsup.training.outliers import Outliers
from tests.supsup.helpers import as_users_run_it, small_lenet

PIXELS, FEATURES = 12, 60
CONFIG = TrainConfig(steps=1, batch=32, outliers=0.25, outlier_kind="gaussian")
BACKBONE = build(small_lenet(pixels=PIXELS, outputs=6))


def blobs(at, *, pixels=PIXELS, noise=0.4):
    """Two classes about centres of the task's own, whose noise is the same in all tasks."""
    rng = np.random.default_rng(at)
    centres = rng.normal(size=(2, pixels))
    y = rng.integers(0, 2, 400)
    x = torch.from_numpy((centres[y] + noise * rng.normal(size=(400, pixels))).astype(np.float32))
    y = torch.from_numpy(y)
    return TensorTask(f"blobs/{at}", train=(x[:300], y[:300]), test=(x[300:], y[300:]), classes=2)


TASKS = [blobs(at) for at in range(3)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """An archive of the last two tasks, with their prototypes."""
    found = tmp_path_factory.mktemp("drawn") / "others.h5"
    with create_archive(found, BACKBONE) as archive:
        train_into(archive, BACKBONE, TASKS[1:], TrainConfig(steps=3, batch=32), codec="fast")
        add_prototypes(archive, BACKBONE, TASKS[1:], FeatureRecipe(size=FEATURES))
    return found


@pytest.fixture
def others(path):
    with MaskArchive.open(path) as archive:
        return other_tasks(archive, BACKBONE)


def test_they_are_like_the_other_tasks_images(others):
    """Means by class are those of the true images, though no image of these was seen."""
    drawn = DrawnImages(TASKS[0], others, BACKBONE, CONFIG)
    uniform = torch.rand((6000, drawn.numbers), generator=torch.Generator().manual_seed(0))
    uniform[0] = 0  # the most extreme numbers stay finite
    uniform[1] = 1 - 2.0**-24
    made = drawn.images(uniform)
    assert made.isfinite().all()
    which = (uniform[:, 0] * 4).long()
    every = torch.arange(300, dtype=torch.int64, device="cpu")
    true = [task.train_batch(every) for task in TASKS[1:]]
    centres = torch.stack([x[y == label].mean(0) for x, y in true for label in range(2)])
    scale = torch.cat([x for x, _ in true]).square().mean().sqrt()
    found = torch.stack([made[2:][which[2:] == label].mean(0) for label in range(4)])
    away = torch.cdist(found, centres)
    assert away.argmin(1).tolist() == [0, 1, 2, 3]
    # A feature forgets how large an input is, so that lengths come back roughly.
    assert float(away.diagonal().max()) < 0.75 * float(scale) * PIXELS**0.5


def test_a_training_with_them_doubts_the_others_images(others):
    spread = {}
    x = torch.cat([next(iter(task.test_batches(100)))[0] for task in TASKS[1:]])
    for outliers in (0.0, 0.25):
        kind = "gaussian" if outliers else "shuffled"
        config = TrainConfig(steps=200, batch=32, outliers=outliers, outlier_kind=kind)
        (trained,) = train(BACKBONE, TASKS[:1], config, others=others)
        assert trained.metrics["accuracy"] > 0.9
        assert trained.metadata.get("drawn_from") == (2 if outliers else None)
        with torch.no_grad():
            logits = BACKBONE.logits(x, BACKBONE.tensors(trained.masks))
        spread[outliers] = float(logits.softmax(1)[:, 2:].sum(1).mean())
    assert spread[0.25] > spread[0.0] + 0.3


def test_rows_depend_on_task_and_step_alone(others):
    x, y = TASKS[0].train_batch(torch.arange(32, dtype=torch.int64, device="cpu"))
    pair = [TASKS[0], named(TASKS[0], "other")]
    both = Outliers(pair, CONFIG, BACKBONE, 6, others).join(3, x.expand(2, -1, -1), y.expand(2, -1))
    alone = Outliers(pair[:1], CONFIG, BACKBONE, 6, others)
    again, later = alone.join(3, x[None], y[None]), alone.join(4, x[None], y[None])
    assert torch.equal(both[0][:1], again[0])
    assert torch.equal(again[0][:, :32], x[None])
    assert not torch.equal(again[0][:, 32:], later[0][:, 32:])
    assert set(again[1][0, 32:].tolist()) <= {2, 3, 4, 5}
    assert again[0].shape == (1, 40, PIXELS)


def test_its_own_prototypes_are_not_drawn_from(path, others):
    (beside,) = others.beside(named(TASKS[1], "another name"))
    assert beside.name == TASKS[2].name
    assert len(others.beside(TASKS[0])) == 2
    alone = replace(others, tasks=others.tasks[:1])
    with as_users_run_it(), pytest.raises(InvalidInput, match="no task but 'blobs/1' itself"):
        alone.beside(TASKS[1])


def test_without_prototypes_it_is_said_before_anything_is_trained(path, tmp_path):
    message = "gaussian ones are drawn from prototypes of other tasks, and there are none"
    with as_users_run_it():
        with pytest.raises(InvalidInput, match=message):
            next(train(BACKBONE, TASKS[:1], CONFIG))
        with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
            with pytest.raises(InvalidInput, match=message):
                train_into(archive, BACKBONE, TASKS[:1], CONFIG)
            with MaskArchive.open(path) as source:
                train_into(archive, BACKBONE, TASKS[:1], CONFIG, outliers_from=source)
            assert archive.names() == [TASKS[0].name]


def test_features_that_say_too_little_are_refused(others):
    noise = blobs(5, pixels=400, noise=3.0)
    backbone = build(small_lenet(pixels=400, outputs=6))
    with as_users_run_it(), pytest.raises(InvalidInput, match=r"60 features give back \d+% of"):
        DrawnImages(noise, others, backbone, CONFIG)
