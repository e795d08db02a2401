"""Baselines that find the task themselves (GNs, GNu), against the same written out by hand."""

import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.baselines import BASELINES, evaluate_baseline
from supsup.evaluation import GNS, GNU, NNS
from supsup.inference import Entropy, PaperG, Superfluous
from tests.supsup.baselines.helpers import ENOUGH, blobs, taught

TASKS = blobs(3, classes=3)
ONE_SHOT = ("batche", "psp")
HEADLESS = ("batche", "psp", "psp-rotation")
"""With an output of the network to spare."""


@pytest.fixture(scope="module", params=BASELINES)
def learnt(request):
    return taught(request.param, TASKS, ENOUGH)


def decided(evidence, mode):
    if mode == "batch":
        evidence = evidence.mean(0, keepdim=True).expand_as(evidence)
    if mode == "first":
        evidence = evidence[:1].expand_as(evidence)
    return evidence.argmax(1)


def by_hand(baseline, evidence_of, mode, *, shared, size=65):
    """Accuracy and task accuracy of each task, two batches each."""
    rows = []
    for own, task in enumerate(TASKS):
        right = found = 0
        for x, y in task.test_batches(size):
            tasks = decided(evidence_of(x), mode)
            labels = torch.stack([baseline.logits(t.name, x).argmax(1) for t in TASKS], 1)
            correct = labels[torch.arange(len(x)), tasks] == y
            found += int((tasks == own).sum())
            right += int((correct if shared else correct & (tasks == own)).sum())
        rows.append((right / 130, found / 130))
    return rows


def rows_of(found):
    return [(row.accuracy, row.task_accuracy) for row in found.per_task]


@pytest.mark.parametrize("mode", ["image", "batch", "first"])
@pytest.mark.parametrize("scenario", [GNS, GNU])
def test_the_task_of_the_lowest_entropy(learnt, scenario, mode):
    if "exhaustive" not in learnt.methods:
        with pytest.raises(InvalidInput, match=r"icarl: method: expected one of logits, got 'exh"):
            evaluate_baseline(learnt, TASKS, scenario=scenario, method="exhaustive")
        return

    def evidence(x):
        p = torch.stack([learnt.outputs(task.name, x).softmax(1) for task in TASKS], 1)
        return (p * p.log()).sum(2)

    found = evaluate_baseline(learnt, TASKS, 65, scenario=scenario, method="exhaustive", mode=mode)
    assert rows_of(found) == by_hand(learnt, evidence, mode, shared=scenario is GNS)
    assert (found.method, found.objective) == (f"{learnt.name}, exhaustive", "entropy")
    assert found.scenario == scenario.name


def test_one_classifier_over_the_classes_of_all_tasks(learnt):
    def evidence(x):
        return torch.stack([learnt.logits(task.name, x).amax(1) for task in TASKS], 1)

    found = evaluate_baseline(learnt, TASKS, 65, scenario=GNU, method="logits")
    assert rows_of(found) == by_hand(learnt, evidence, "image", shared=False)
    assert found.objective is None


def test_icarl_takes_the_nearest_mean_of_all_classes():
    icarl = taught("icarl", TASKS, ENOUGH)
    means = []
    for task in TASKS:
        for few in icarl.exemplars[task.name]:
            features = torch.nn.functional.normalize(icarl._net.features(few, icarl.trunk))
            means.append(torch.nn.functional.normalize(features.mean(0), dim=0))
    found = evaluate_baseline(icarl, TASKS, 65, scenario=GNU)
    for own, (task, row) in enumerate(zip(TASKS, found.per_task, strict=True)):
        x, y = next(iter(task.test_batches(130)))
        features = torch.nn.functional.normalize(icarl._net.features(x, icarl.trunk))
        nearest = torch.cdist(features, torch.stack(means)).argmin(1)
        assert row.accuracy == pytest.approx(float((nearest == 3 * own + y).float().mean()))
    assert found.accuracy > 0.8


@pytest.mark.parametrize("objective", [Entropy(), Superfluous(), PaperG()])
@pytest.mark.parametrize("mode", ["image", "batch", "first"])
@pytest.mark.parametrize("name", ONE_SHOT)
def test_one_shot_is_the_slope_at_equal_shares(name, mode, objective):
    baseline = taught(name, TASKS, ENOUGH)

    def slopes(x):
        shares = torch.full((3,), 1 / 3, requires_grad=True)
        value = objective(superposition(baseline, shares, x), 3).mean()
        return -torch.autograd.grad(value, shares)[0]

    def evidence(x):
        if mode == "image":
            return torch.stack([slopes(one) for one in x.split(1)])
        return slopes(x if mode == "batch" else x[:1]).expand(len(x), 3)

    found = evaluate_baseline(
        baseline, TASKS, 65, scenario=GNU, method="one-shot", objective=objective, mode=mode
    )
    assert rows_of(found) == by_hand(baseline, evidence, "image", shared=False)
    assert found.objective == objective.name


def superposition(baseline, shares, x):
    """20-30-10-4 with ReLU, each layer's factors of all tasks mixed by their shares."""
    names = [name for name, _ in baseline.backbone.module.named_parameters()]
    for at, name in enumerate(names):
        if baseline.name == "batche":
            factors = [
                torch.outer(own[f"{name}/s"], own[f"{name}/r"])
                for own in (baseline.own[task.name] for task in TASKS)
            ]
            weight = baseline.shared[name]
        else:
            factors = [baseline._contexts(task.name)[name] for task in TASKS]
            weight = baseline.weights[name]
        mixed = weight * sum(share * factor for share, factor in zip(shares, factors, strict=True))
        x = (torch.relu(x) if at else x) @ mixed.T
    return x


@pytest.mark.parametrize("name", BASELINES)
def test_g_needs_an_output_to_spare(name):
    baseline = taught(name, TASKS)
    if name in HEADLESS:
        found = evaluate_baseline(baseline, TASKS, scenario=GNU, objective="superfluous")
        assert found.objective == "superfluous"
    elif "exhaustive" in baseline.methods:
        with pytest.raises(InvalidInput, match="3 outputs for 3 classes and none to spare"):
            evaluate_baseline(baseline, TASKS, scenario=GNU, objective="superfluous")


def test_bad_input():
    baseline = taught("upper-bound", TASKS[:2])
    bad = [
        ({"scenario": NNS}, "scenario NNs: upper-bound is told the task in training"),
        ({"scenario": GNU, "method": "one-shot"}, "expected one of exhaustive, logits"),
        ({"scenario": GNU, "mode": "both"}, "mode: expected one of image, batch, first"),
        ({"scenario": GNU, "objective": "h"}, "objective: expected one of"),
    ]
    for options, message in bad:
        with pytest.raises(InvalidInput, match=message):
            evaluate_baseline(baseline, TASKS[:2], **options)
    with pytest.raises(InvalidInput, match="'blobs/2': upper-bound has not learnt it"):
        evaluate_baseline(baseline, TASKS, scenario=GNU)
    with pytest.raises(InvalidInput, match="no tasks"):
        evaluate_baseline(baseline, [], scenario=GNU)
    with pytest.raises(InvalidInput, match="upper-bound has nothing to superpose"):
        baseline.superposed(torch.ones(2), TASKS[0].x)
