import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup import TrainConfig, accuracy
from supsup.errors import TrainingDiverged
from supsup.masking.threshold import Threshold
from supsup.task_free import Learner, StreamBatch, Uniform, Verdict
from supsup.task_free.mask_learner import MaskLearner
from tests.supsup.task_free.helpers import (
    corners,
    new_learner,
    noise,
    run_through,
    small_net,
    stream_of,
)


def sources(mask):
    return [each["name"] for each in mask.metadata["sources"]]


def test_a_mask_for_every_task_and_none_when_they_return():
    tasks = corners(4)
    stream = stream_of(tasks, visits=3)
    learner = new_learner()
    masks = list(run_through(learner, stream))
    assert [mask.name for mask in masks] == ["nns/0", "nns/1", "nns/2", "nns/3"]
    assert [sources(mask) for mask in masks] == [[task.name] for task in tasks]
    assert learner.report.allocated == 4
    assert learner.report.skipped == 0
    given = sum(each["batches"] for mask in masks for each in mask.metadata["sources"])
    assert given == learner.report.batches == len(stream)
    assert learner.report.judged < len(stream) / 3
    backbone = small_net()
    for mask, task in zip(masks, tasks, strict=True):
        assert accuracy(backbone, mask.masks, task) > 0.9


def test_a_mask_is_given_when_the_stream_leaves_it_and_when_it_has_had_its_steps():
    tasks = corners(2)
    learner = new_learner(steps=60)
    given = [
        (mask.name, mask.metadata["metrics"]["steps"])
        for mask in learner.learn(stream_of(tasks, visits=2, length=50))
    ]
    # Left unfinished twice; finished on return; once more for the batches that it was given since.
    unfinished = [steps for _, steps in given if steps < 60]
    assert len(unfinished) == 2
    assert given[-1][1] == 60
    assert given.count(("nns/0", 60)) == given.count(("nns/1", 60)) == 2


def test_finished_masks_do_not_change():
    tasks = corners(1)
    seen = list(new_learner(steps=30).learn(stream_of(tasks, length=80)))
    first, last = seen[0].masks, seen[-1].masks
    assert len(seen) == 2
    assert all(np.array_equal(first[name], last[name]) for name in first)
    assert seen[-1].metadata["metrics"]["steps"] == 30


@pytest.mark.parametrize("length", [1, 2])
def test_outliers_make_no_mask_and_spoil_none(length):
    (task,) = corners(1)
    clean = stream_of([task], length=80)
    dirty = [*clean[:40], *noise(length), *clean[40:60], *noise(length, 1), *clean[60:]]
    learner = new_learner()
    (mask,) = run_through(learner, dirty)
    (expected,) = run_through(new_learner(), clean)
    assert learner.report.skipped == 2 * length
    assert learner.report.allocated == 1
    for name, layer in expected.masks.items():
        assert np.array_equal(layer, mask.masks[name])


def test_outliers_at_the_end_are_counted():
    learner = new_learner()
    run_through(learner, [*stream_of(corners(1)), *noise(2)])
    assert learner.report.skipped == 2


def test_enough_of_the_same_is_a_task():
    learner = new_learner(confirm=3)
    run_through(learner, [*stream_of(corners(1)), *noise(3)])
    assert learner.report.allocated == 2
    assert learner.report.skipped == 0


def test_what_learns_nothing_breeds_nothing_before_it_has_had_its_steps():
    learner = new_learner(every=5, confirm=1, steps=50)
    run_through(learner, noise(50))
    assert learner.report.allocated == 1
    run_through(learner, noise(10, 1))
    assert learner.report.allocated == 2


def test_a_spent_budget():
    tasks = corners(4)
    learner = new_learner(steps=40, budget=2)
    masks = list(run_through(learner, stream_of(tasks, length=60)))
    assert learner.report.allocated == len(masks) == 2
    assert learner.report.refused >= 2
    backbone = small_net()
    for mask, task in zip(masks, tasks, strict=False):
        # They were finished, so what came later did not spoil them.
        assert accuracy(backbone, mask.masks, task) > 0.9


def test_unfinished_masks_learn_what_the_budget_leaves_without_a_mask():
    tasks = corners(2)
    learner = new_learner(steps=10_000, budget=1)
    (mask,) = run_through(learner, stream_of(tasks, length=60))
    assert sources(mask) == ["blobs/0", "blobs/1"]
    assert learner.report.refused >= 1
    assert accuracy(small_net(), mask.masks, tasks[1]) > 0.8


def test_without_a_floor_the_papers_rule_makes_a_second_mask_at_once():
    learner = new_learner(allocation=Uniform(floor=1))
    run_through(learner, stream_of(corners(1), length=30))
    assert learner.report.allocated == 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Uniform):
    """Wants a new mask at its second decision; keeps what it is shown."""

    seen: list = field(default_factory=list, hash=False)

    def judge(self, bank, levels, x, y):
        self.seen.append((len(levels), bank.source.read(slice(None)).numpy().copy()))
        return Verdict(mask=0, known=len(self.seen) != 2)


def test_the_papers_rule_weighs_masks_that_have_not_begun_and_decides_at_once():
    config = TrainConfig(steps=1000, lr=0.5, shared_scores=False)

    def learner_by(rule):
        return Learner(small_net(), config, classes=3, every=20, allocation=rule)

    layout = small_net().layout
    begins = [
        layout.pack(MaskLearner(small_net(), config, Threshold(), name=f"nns/{at}").masks)
        for at in range(3)
    ]
    assert not np.array_equal(begins[0], begins[1])
    rule = Watched(floor=3)
    learner, stream = learner_by(rule), stream_of(corners(1), length=70)
    learning = learner.learn(stream)
    given = next(learning)  # at the second decision, which no other batch has to confirm
    state = json.loads(json.dumps(learner.state()))
    scores = {given.name: learner.scores()[0].copy()}
    list(learning)
    assert [count for count, _ in rule.seen] == [1, 1, 2]
    gone_on = Watched(floor=3)
    again = learner_by(gone_on)
    again.restore(state, scores, {})
    list(again.learn(stream))
    for count, bits in (*rule.seen, *gone_on.seen):
        assert np.array_equal(bits[count:], begins[count:])
        assert not np.array_equal(bits[0], begins[0])  # it has learnt by then
    assert np.array_equal(gone_on.seen[0][1][0], layout.pack(given.masks))


def test_nothing_comes_of_nothing():
    learner = new_learner()
    assert list(learner.learn([])) == []
    assert learner.report.to_json() == dict.fromkeys(learner.report.to_json(), 0)


def test_what_cannot_be_learnt():
    backbone, config = small_net(), TrainConfig(steps=10)
    with pytest.raises(InvalidInput, match="every: expected a whole number from 1, got 0"):
        Learner(backbone, config, classes=3, every=0)
    with pytest.raises(InvalidInput, match="budget"):
        Learner(backbone, config, classes=3, budget=0)
    with pytest.raises(InvalidInput, match="no epochs"):
        Learner(backbone, TrainConfig(epochs=1), classes=3)
    with pytest.raises(InvalidInput, match="outliers: a stream is learnt without them"):
        Learner(small_net(), TrainConfig(steps=5, outliers=0.1), classes=2)
    bad = StreamBatch(
        images=torch.full((4, 20), math.nan), labels=torch.zeros(4, dtype=torch.int64)
    )
    with pytest.raises(TrainingDiverged, match="mask 'nns/0': the loss is nan at step 1"):
        list(new_learner(confirm=1).learn([bad]))
