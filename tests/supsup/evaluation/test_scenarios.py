import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput, TaskNotFound
from maskstore.packed import PackedMasks
from supsup import TrainConfig, build, evaluate_gg, train
from supsup.evaluation import (
    GNS,
    GNU,
    NNS,
    SCENARIOS,
    Scenario,
    evaluate_inferred,
    parse_scenario,
)
from supsup.inference import MaskBank, infer_in
from tests.supsup.helpers import Blobs, small_lenet


@pytest.fixture(scope="module")
def trained():
    """Five tasks in distant corners of one space, and their masks."""
    backbone = build(small_lenet(outputs=8))
    tasks = []
    for at in range(5):
        task = Blobs(name=f"blobs/{at}", classes=3, test=70)
        task.x = task.x + 6 * torch.tensor([1.0] * 4 + [0.0] * 16).roll(4 * at)
        tasks.append(task)
    masks = {m.name: m.masks for m in train(backbone, tasks, TrainConfig(steps=60, lr=0.02))}
    packed = PackedMasks(
        layout=backbone.layout,
        names=tuple(masks),
        bits=np.stack([backbone.layout.pack(m) for m in masks.values()]),
    )
    return backbone, tasks, masks, MaskBank(backbone, packed, classes=3)


@pytest.mark.parametrize("method", ["one-shot", "exhaustive", "auto"])
@pytest.mark.parametrize("mode", ["image", "batch", "first"])
def test_counts_are_those_of_single_inferences(trained, method, mode):
    _, tasks, _, bank = trained
    unshared = evaluate_inferred(GNU, bank, tasks, method=method, mode=mode, batch=20)
    shared = evaluate_inferred(GNS, bank, tasks, method=method, mode=mode, batch=20)
    for at, task in enumerate(tasks):
        right = found = easy = 0
        for x, y in task.test_batches(20):  # 70 images: 20, 20, 20, 10
            result = infer_in(bank, x, method=method, mode=mode)
            for t, p, label in zip(result.tasks, result.predictions, y.tolist(), strict=True):
                right += t == at and p == label
                easy += p == label
                found += t == at
        assert unshared.per_task[at].accuracy == right / 70
        assert unshared.per_task[at].task_accuracy == found / 70
        assert shared.per_task[at].accuracy == easy / 70
    assert unshared.accuracy <= shared.accuracy


def test_document(trained):
    _, tasks, _, bank = trained
    document = evaluate_inferred(
        GNU, bank, tasks, method="one-shot", objective="superfluous"
    ).to_json()
    assert document["scenario"] == "GNu"
    assert (document["method"], document["objective"]) == ("one-shot", "superfluous")
    assert document["tasks"] == 5


def test_where_the_task_is_found_the_accuracy_is_that_of_gg(trained):
    backbone, tasks, masks, bank = trained
    given = evaluate_gg(backbone, [(task, masks[task.name]) for task in tasks])
    found = evaluate_inferred(GNU, bank, tasks, method="exhaustive", mode="batch", batch=35)
    sure = [at for at, row in enumerate(found.per_task) if row.task_accuracy == 1.0]
    assert sure
    for at in sure:
        assert found.per_task[at].accuracy == pytest.approx(given.per_task[at].accuracy)
    assert all(row.accuracy <= row.task_accuracy for row in found.per_task)


def test_only_some_batches(trained):
    _, tasks, _, bank = trained
    seen = []
    found = evaluate_inferred(GNU, bank, tasks[:2], batch=10, batches=1, on_task=seen.append)
    assert seen == ["blobs/0", "blobs/1"]
    assert all(row.accuracy * 10 == round(row.accuracy * 10) for row in found.per_task)


def test_what_cannot_be_evaluated(trained):
    _, tasks, _, bank = trained
    with pytest.raises(InvalidInput, match="no tasks"):
        evaluate_inferred(GNU, bank, [])
    with pytest.raises(TaskNotFound, match="no mask of task 'blobs/9'"):
        evaluate_inferred(GNU, bank, [Blobs(name="blobs/9")])
    with pytest.raises(InvalidInput, match="no test images"):
        evaluate_inferred(GNU, bank, [Blobs(name="blobs/0", test=0)])
    with pytest.raises(InvalidInput, match="batch and batches from 1"):
        evaluate_inferred(GNU, bank, tasks, batch=0)


def test_the_table_of_scenarios():
    assert {name: each.given for name, each in SCENARIOS.items()} == {
        "GG": True,
        "GNs": False,
        "GNu": False,
        "NNs": False,
    }
    for name, each in SCENARIOS.items():
        assert parse_scenario(name) is each
        assert (each.name, each.trained_by_name) == (name, name[0] == "G")
        assert each.labels_shared == name.endswith("s")
    with pytest.raises(InvalidInput, match="expected one of GG, GNs, GNu, NNs, got 'GNx'"):
        parse_scenario("GNx")


def test_a_scenario_is_what_its_fields_say(trained):
    _, tasks, _, bank = trained
    unshared = Scenario(name="NNu", trained_by_name=False, given=False, labels_shared=False)
    how = {"method": "exhaustive", "batch": 35}
    # Two masks are one task's, and nobody knows whose the last is: no task is told to training.
    owners = ["blobs/0", "blobs/1", "blobs/2", "blobs/2", None]
    found = evaluate_inferred(unshared, bank, tasks, owners, **how)
    shared = evaluate_inferred(NNS, bank, tasks, owners, **how)
    named = evaluate_inferred(GNU, bank, tasks, **how)
    assert found.scenario == "NNu"
    assert found.per_task[:2] == named.per_task[:2]
    assert [row.task_accuracy for row in shared.per_task] == [
        row.task_accuracy for row in found.per_task
    ]
    for row in found.per_task[3:]:
        assert (row.accuracy, row.task_accuracy) == (0.0, 0.0)
    assert all(row.accuracy > 0 for row in shared.per_task)
    with pytest.raises(TaskNotFound, match="no mask of task 'blobs/3'"):
        evaluate_inferred(GNU, bank, tasks, owners, **how)
