"""Training end to end on tasks of a few hundred points."""

import json
import math

import numpy as np
import pytest
import torch

from maskstore import MaskArchive
from maskstore.errors import InvalidInput
from maskstore.layout import sha256_of_bits
from maskstore.seeded.scores import ScoreStart
from supsup import Backbone, TrainConfig, TrainingDiverged, accuracy, build, train
from supsup.archives import create_archive, train_into
from supsup.tasks.order import batches
from tests.supsup.helpers import Blobs, ConvNet, small_bn, small_lenet

SHORT = TrainConfig(steps=60, optimizer="adam", lr=3e-3)


def digests(backbone: Backbone, tasks: list[Blobs], config: TrainConfig) -> list[str]:
    return [
        sha256_of_bits(backbone.layout.pack(mask.masks)).hex()
        for mask in train(backbone, tasks, config)
    ]


@pytest.mark.parametrize("recipe", [small_lenet(), small_bn()])
@pytest.mark.parametrize("rule", ["threshold", "topk"])
def test_training_learns_and_the_accuracy_is_that_of_the_mask(recipe, rule):
    backbone, task = build(recipe), Blobs()
    (trained,) = train(
        backbone, [task], TrainConfig(steps=60, rule=rule, optimizer="adam", lr=0.01)
    )
    assert trained.name == "blobs/0"
    assert trained.metrics["accuracy"] > 0.92
    assert trained.metrics["accuracy"] == accuracy(backbone, trained.masks, task)
    start = ScoreStart.from_json(trained.metadata["scores"]).draw(backbone.layout)
    untrained = {name: layer >= 0 for name, layer in start.items()}
    assert accuracy(backbone, untrained, task) < 0.9


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("rule", ["threshold", "topk"])
def test_two_runs_give_identical_masks(optimizer, rule):
    tasks = [Blobs(), Blobs(name="blobs/1")]
    config = TrainConfig(steps=30, optimizer=optimizer, rule=rule, lr=0.01)
    first = digests(build(small_lenet()), tasks, config)
    assert digests(build(small_lenet()), tasks, config) == first
    assert first[0] != first[1]


def test_a_task_does_not_see_the_others():
    backbone, tasks = build(small_bn()), [Blobs(), Blobs(name="blobs/1")]
    together = digests(backbone, tasks, SHORT)
    assert digests(backbone, tasks[1:], SHORT) == together[1:]


def test_the_seed_changes_the_mask():
    backbone = build(small_lenet())
    other = TrainConfig(steps=60, optimizer="adam", lr=3e-3, seed=1)
    assert digests(backbone, [Blobs()], SHORT) != digests(backbone, [Blobs()], other)


def test_golden_masks():
    """One tiny curve: a refactor must not change what a seed gives."""
    (trained,) = train(
        build(small_lenet()), [Blobs()], TrainConfig(steps=5, optimizer="sgd", lr=1.0)
    )
    ones = {name: int(layer.sum()) for name, layer in trained.masks.items()}
    assert ones == {"fc1.weight": 297, "fc2.weight": 154, "fc3.weight": 18}
    assert trained.metrics["loss"] == pytest.approx(0.770558, rel=1e-4)


def test_training_is_plain_sgd_on_the_scores():
    """Three steps against a reference written without autograd functions or optimizers."""
    backbone, task = build(small_lenet()), Blobs()
    config = TrainConfig(steps=3, optimizer="sgd", momentum=0.9, lr=0.5, batch=16)
    (trained,) = train(backbone, [task], config)
    scores = {n: torch.from_numpy(s) for n, s in ScoreStart(seed=0).draw(backbone.layout).items()}
    speed = {name: torch.zeros_like(s) for name, s in scores.items()}
    order = batches(0, task.name, task.train_size, 16, task.device)
    for step in range(3):
        x, y = task.train_batch(next(order))
        masked = {
            name: (w * (scores[name] >= 0)).requires_grad_() for name, w in backbone.weights.items()
        }
        p = torch.log_softmax(backbone.run(x, masked), 1)
        (-p[torch.arange(16), y].mean()).backward()
        lr = 0.5 * 0.5 * (1 + math.cos(math.pi * step / 3))
        for name, w in backbone.weights.items():
            speed[name] = 0.9 * speed[name] + w * masked[name].grad
            scores[name] = scores[name] - lr * speed[name]
    for name, layer in trained.masks.items():
        np.testing.assert_array_equal(layer, (scores[name] >= 0).numpy())


def test_topk_keeps_exactly_its_budget():
    backbone = build(small_lenet())
    config = TrainConfig(steps=10, rule="topk", density=0.9)
    (trained,) = train(backbone, [Blobs()], config)
    assert {n: int(m.sum()) for n, m in trained.masks.items()} == {
        "fc1.weight": 540, "fc2.weight": 270, "fc3.weight": 36,
    }  # fmt: skip
    assert trained.metrics["density"] == pytest.approx(
        (540 + 270 + 36) / (600 + 300 + 40), rel=1e-5
    )


def test_a_users_module_trains():
    backbone = Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch")
    (trained,) = train(
        backbone, [Blobs(pixels=16)], TrainConfig(steps=60, optimizer="adam", lr=0.02)
    )
    assert trained.metrics["accuracy"] > 0.9


def test_shared_scores_start_every_task_alike():
    backbone, tasks = build(small_lenet()), [Blobs(), Blobs(name="blobs/1")]
    shared = [m.metadata["scores"] for m in train(backbone, tasks, TrainConfig(steps=1))]
    assert shared == [{"seed": 0, "stream": "scores"}] * 2
    own = [
        m.metadata["scores"]["stream"]
        for m in train(backbone, tasks, TrainConfig(steps=1, shared_scores=False))
    ]
    assert own == ["scores/blobs/0", "scores/blobs/1"]


def test_metadata_is_json_that_repeats_the_training():
    (trained,) = train(build(small_lenet()), [Blobs()], SHORT)
    metadata = json.loads(json.dumps(trained.metadata, allow_nan=False))
    assert TrainConfig.from_json(metadata["training"]) == SHORT
    assert metadata["task"] is None
    json.dumps(trained.metrics, allow_nan=False)


def test_progress_reaches_the_end_of_every_task():
    seen = []
    tasks = [Blobs(), Blobs(name="blobs/1")]
    for _ in train(build(small_lenet()), tasks, TrainConfig(steps=45), progress=seen.append):
        pass
    assert [(p.name, p.step) for p in seen] == [
        (name, step) for name in ("blobs/0", "blobs/1") for step in (20, 40, 45)
    ]
    assert seen[2].loss < seen[0].loss


def test_masks_arrive_one_by_one():
    started = []

    def tasks():
        for at in range(9):
            started.append(at)
            yield Blobs(name=f"blobs/{at}")

    next(train(build(small_lenet()), tasks(), TrainConfig(steps=1), parallel=1))
    assert started == [0, 1]


def test_nan_in_the_data_is_no_mask():
    task = Blobs()
    task.x[:] = math.nan
    with pytest.raises(TrainingDiverged, match="'blobs/0': the loss is nan at step 20 of 60"):
        next(train(build(small_lenet()), [task], SHORT))


def test_scores_that_overflow_in_the_last_step_are_no_mask():
    config = TrainConfig(steps=1, optimizer="sgd", lr=3e38)
    task = Blobs()
    task.x *= 1e4
    with pytest.raises(TrainingDiverged, match="scores of layer 'fc1.weight' are not finite"):
        next(train(build(small_lenet()), [task], config))


def test_more_classes_than_outputs_are_refused():
    with pytest.raises(InvalidInput, match="5 classes but the backbone 4 outputs"):
        next(train(build(small_lenet(outputs=4)), [Blobs(classes=5)], SHORT))


def test_an_archive_that_knows_the_settings_keeps_them_once(tmp_path):
    backbone = build(small_lenet())
    config = TrainConfig(steps=2, rule="gradual", density=0.1, optimizer="normed-sgd", batch=16)
    kept = {}
    for name, known in (("told", config), ("not-told", None)):
        with create_archive(tmp_path / f"{name}.h5", backbone, known) as archive:
            (stored,) = train_into(archive, backbone, [Blobs()], config)
            kept[name] = len(archive.entry(stored.name).metadata)
        with MaskArchive.open(tmp_path / f"{name}.h5") as archive:
            assert archive.task("blobs/0").metadata["training"] == config.to_json()
    assert kept["told"] < kept["not-told"] - 20
