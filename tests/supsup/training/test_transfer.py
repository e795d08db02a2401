import math

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from maskstore.seeded.scores import ScoreStart
from supsup import TrainConfig, build, train
from supsup.training.transfer import EarlierScores, MeanOfMasks, MeanOfScores
from tests.supsup.helpers import Blobs, small_lenet

LAYOUT = MaskLayout({"a": (2, 3), "b": (4,)})
START = torch.tensor([0.5, -0.5, 0.25, -0.25, 0.1, -0.1, 1.0, -1.0, 0.5, -0.5])

NOTHING = EarlierScores(total=np.zeros(10, np.float32), count=0)


def masks_of(bits: str) -> dict[str, np.ndarray]:
    flat = np.array([bit == "1" for bit in bits])
    return {"a": flat[:6].reshape(2, 3), "b": flat[6:]}


def test_the_first_task_starts_from_the_seed():
    for transfer in (MeanOfMasks(LAYOUT, by_size=False), MeanOfScores(NOTHING)):
        scores = START.clone()
        transfer.begin(scores)
        assert torch.equal(scores, START)


def test_mean_of_masks_by_sign():
    earlier = [masks_of("1100001100"), masks_of("1010001010")]
    transfer = MeanOfMasks(LAYOUT, by_size=False, earlier=earlier)
    scores = START.clone()
    transfer.begin(scores)
    bound = [0.5] * 6 + [1.0] * 4
    mean = [1.0, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.0]
    expected = [
        (s + 2 * b * (2 * m - 1)) / 3 for s, b, m in zip(START.tolist(), bound, mean, strict=True)
    ]
    torch.testing.assert_close(scores, torch.tensor(expected))


def test_mean_of_masks_by_size_keeps_the_signs():
    transfer = MeanOfMasks(LAYOUT, by_size=True)
    transfer.end(START, masks_of("0100000001"))
    scores = START.clone()
    transfer.begin(scores)
    assert transfer.count == 1
    assert torch.equal(scores.sign(), START.sign())
    grown = torch.tensor([0, 0.5, 0, 0, 0, 0, 0, 0, 0, 1.0])
    torch.testing.assert_close(scores.abs(), (START.abs() + grown) / 2)


def test_mean_of_scores():
    transfer = MeanOfScores(NOTHING)
    for number in (3.0, 6.0):
        transfer.end(torch.full((10,), number), masks_of("0" * 10))
    scores = START.clone()
    transfer.begin(scores)
    torch.testing.assert_close(scores, (START + 9.0) / 3)


@pytest.mark.parametrize("kind", ["masks", "scores"])
@pytest.mark.parametrize("rule", ["threshold", "topk"])
def test_alike_tasks_are_learned_sooner(kind, rule):
    config = TrainConfig(steps=40, rule=rule, transfer=kind)
    first, second = train(build(small_lenet()), [Blobs(), Blobs()], config)
    assert (first.metadata["earlier"], second.metadata["earlier"]) == (0, 1)
    assert second.metrics["loss"] < first.metrics["loss"]


@pytest.mark.parametrize("rule", ["threshold", "topk"])
def test_before_the_first_step_the_earlier_masks_are_in_use(rule):
    (trained,) = train(build(small_lenet()), [Blobs()], TrainConfig(steps=40, rule=rule))
    hardly = TrainConfig(steps=1, rule=rule, lr=1e-6, transfer="masks")
    (without,) = train(build(small_lenet()), [Blobs()], hardly)
    (given,) = train(build(small_lenet()), [Blobs()], hardly, earlier=[trained.masks])
    assert given.metrics["accuracy"] > without.metrics["accuracy"]


def test_the_first_task_is_trained_as_without():
    (plain,) = train(build(small_lenet()), [Blobs()], TrainConfig(steps=20), parallel=1)
    (moved,) = train(build(small_lenet()), [Blobs()], TrainConfig(steps=20, transfer="masks"))
    for name, layer in plain.masks.items():
        np.testing.assert_array_equal(layer, moved.masks[name])


def test_a_diverged_task_leaves_nothing_behind():
    bad = Blobs(name="bad")
    bad.x[:] = math.nan
    config = TrainConfig(steps=20, transfer="masks")
    backbone, tasks = build(small_lenet()), [Blobs(), Blobs(name="blobs/1")]
    wanted = list(train(backbone, tasks, config))
    found = list(train(backbone, [tasks[0], bad, tasks[1]], config, diverged=lambda failure: None))
    for a, b in zip(wanted, found, strict=True):
        assert a.metadata == b.metadata
        for name, layer in a.masks.items():
            np.testing.assert_array_equal(layer, b.masks[name])


def test_what_cannot_be():
    backbone, masks = build(small_lenet()), [ScoreStart(seed=0).draw(build(small_lenet()).layout)]
    earlier = [{name: layer > 0 for name, layer in masks[0].items()}]
    with pytest.raises(
        InvalidInput, match="expected the EarlierScores of earlier tasks, got their"
    ):
        next(train(backbone, [Blobs()], TrainConfig(steps=1, transfer="scores"), earlier=earlier))
    with pytest.raises(InvalidInput, match="expected those of earlier tasks, got scores"):
        next(train(backbone, [Blobs()], TrainConfig(steps=1, transfer="masks"), earlier=NOTHING))
    with pytest.raises(InvalidInput, match="transfer of scores: expected 940 of them, got 10"):
        next(train(backbone, [Blobs()], TrainConfig(steps=1, transfer="scores"), earlier=NOTHING))
    with pytest.raises(InvalidInput, match="each task waits for those before it, got 2"):
        next(train(backbone, [Blobs()], TrainConfig(steps=1, transfer="masks"), parallel=2))
    with pytest.raises(InvalidInput, match="transfer: expected one of none, masks, scores"):
        TrainConfig(steps=1, transfer="weights")
