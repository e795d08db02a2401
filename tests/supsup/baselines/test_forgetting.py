"""Which methods forget, and which leave earlier tasks as they are to the last bit."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from maskstore.seeded import streams as seeded
from supsup.baselines import (
    BASELINES,
    BaselineConfig,
    LowerBound,
    SeparateHeads,
    SeparateHeadsRandom,
    evaluate_baseline,
)
from supsup.tasks.order import batches
from tests.supsup.baselines.helpers import ENOUGH, blobs, small_net

TASKS = 4
KEEPERS = (
    "upper-bound",
    "separate-heads",
    "separate-heads-random",
    "batche",
    "packnet",
    "wsn",
)


@pytest.mark.parametrize("name", KEEPERS)
def test_later_tasks_do_not_move_a_bit(name):
    tasks = blobs(TASKS)
    baseline = BASELINES[name](small_net(), ENOUGH)
    at_once = []
    for task in tasks:
        baseline.learn(task)
        at_once.append(baseline.logits(task.name, task.x))
    for task, logits in zip(tasks, at_once, strict=True):
        assert torch.equal(baseline.logits(task.name, task.x), logits)


def first_and_last(name: str, **options) -> tuple[float, float, float]:
    """Accuracy on the first task, when it is learnt and at the end, and on the last task."""
    tasks = blobs(TASKS)
    baseline = BASELINES[name](small_net(), ENOUGH, **options)
    baseline.learn(tasks[0])
    fresh = evaluate_baseline(baseline, tasks[:1]).accuracy
    for task in tasks[1:]:
        baseline.learn(task)
    return (
        fresh,
        evaluate_baseline(baseline, tasks[:1]).accuracy,
        evaluate_baseline(baseline, tasks[-1:]).accuracy,
    )


def test_the_lower_bound_forgets_and_learns_on():
    fresh, later, last = first_and_last("lower-bound")
    assert fresh > 0.9
    assert later < 0.7
    assert last > 0.9


@pytest.mark.parametrize(
    ("name", "options"),
    [("ewc", {"strength": 1e3}), ("psp-rotation", {}), ("icarl", {"memory": 80})],
)
def test_what_is_made_against_forgetting_helps(name, options):
    fresh, later, _ = first_and_last(name, **options)
    assert fresh > 0.9
    assert later > 0.8


def test_signs_part_tasks_where_weights_alone_do_not():
    _, later, last = first_and_last("psp")
    assert later > first_and_last("lower-bound")[1]
    assert last > 0.9


def test_a_task_starts_at_the_trunk_of_the_one_before_with_a_head_of_the_seed():
    """The loss of the first step on a second task, written out."""
    first, second = blobs(2)
    baseline = LowerBound(small_net(), BaselineConfig(steps=1, batch=16, lr=0.1, seed=3))
    baseline.learn(first)
    indices = next(batches(3, second.name, second.train_size, 16, second.device))
    x = second.x[indices]
    for layer in ("fc1", "fc2"):
        x = torch.relu(x @ baseline.trunk[f"{layer}.weight"].T)
    head = seeded.normal(3, f"weights/{second.name}/fc3.weight", (4, 10), np.sqrt(2 / 10))
    expected = cross_entropy(x @ torch.from_numpy(head).T, second.y[indices])
    assert baseline.learn(second) == pytest.approx(expected.item(), rel=1e-5)


def test_the_trunk_of_separate_heads_stays_after_the_first_task():
    tasks = blobs(3)
    baseline = SeparateHeads(small_net(), ENOUGH)
    seeded = {name: w.clone() for name, w in baseline.trunk.items()}
    baseline.learn(tasks[0])
    trained = {name: w.clone() for name, w in baseline.trunk.items()}
    assert not any(torch.equal(trained[name], w) for name, w in seeded.items())
    for task in tasks[1:]:
        baseline.learn(task)
    assert all(torch.equal(baseline.trunk[name], w) for name, w in trained.items())


def test_a_random_trunk_is_that_of_the_seed():
    task, net = blobs(1)[0], small_net()
    baseline = SeparateHeadsRandom(net, ENOUGH)
    baseline.learn(task)
    hidden = torch.relu(task.x @ net.weights["fc1.weight"].T)
    features = torch.relu(hidden @ net.weights["fc2.weight"].T)
    expected = features @ baseline.heads[task.name]["fc3.weight"].T
    torch.testing.assert_close(baseline.logits(task.name, task.x), expected)
