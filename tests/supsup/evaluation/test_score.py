import json

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput, InvalidMask
from supsup import EVAL_BATCH, accuracy, build, evaluate_gg
from supsup.evaluation.batches import whole_batches
from tests.supsup.helpers import Blobs, small_bn, small_lenet


def all_on(backbone):
    return {name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()}


def sizes(total: int, size: int) -> list[int]:
    x, y = torch.arange(total), torch.arange(total)
    joined = list(whole_batches(zip(x.split(size), y.split(size), strict=True), size))
    for which in (0, 1):
        assert [i for pair in joined for i in pair[which].tolist()] == list(range(total))
    return [len(b) for b, _ in joined]


@pytest.mark.parametrize(
    ("total", "expected"),
    [(1, [1]), (8, [8]), (9, [9]), (11, [11]), (12, [8, 4]), (16, [8, 8]), (17, [8, 9])],
)
def test_a_small_rest_joins_the_batch_before(total, expected):
    assert sizes(total, 8) == expected


def test_a_task_may_have_exactly_as_many_classes_as_the_network_outputs():
    backbone = build(small_lenet(outputs=3))
    assert 0 <= accuracy(backbone, all_on(backbone), Blobs(classes=3)) <= 1
    with pytest.raises(InvalidInput, match="4 classes but the backbone 3 outputs"):
        accuracy(backbone, all_on(backbone), Blobs(classes=4))


def test_accuracy_counts_only_the_tasks_classes():
    backbone, task = build(small_lenet(outputs=10)), Blobs(classes=3)
    x = torch.cat([x for x, _ in task.test_batches(1000)])
    y = torch.cat([y for _, y in task.test_batches(1000)])
    logits = backbone.logits(x, backbone.tensors(all_on(backbone)))
    right = sum(int(row[:3].argmax() == label) for row, label in zip(logits, y, strict=True))
    assert accuracy(backbone, all_on(backbone), task) == right / len(y)
    assert int((logits.argmax(1) == y).sum()) != right  # the further outputs would have won some


def test_without_batch_statistics_the_batch_does_not_matter():
    backbone, task = build(small_lenet()), Blobs()
    found = {accuracy(backbone, all_on(backbone), task, batch) for batch in (1, 7, 128, 1000)}
    assert len(found) == 1


def test_batch_statistics_survive_a_rest_of_one():
    backbone, task = build(small_bn()), Blobs(test=129)
    by_hand = 0
    x, y = next(iter(task.test_batches(129)))
    by_hand = (backbone.logits(x, backbone.tensors(all_on(backbone)))[:, :2].argmax(1) == y).sum()
    assert accuracy(backbone, all_on(backbone), task) == int(by_hand) / 129


def test_evaluation_document():
    backbone = build(small_lenet())
    tasks = [Blobs(), Blobs(name="blobs/1")]
    evaluation = evaluate_gg(backbone, ((task, all_on(backbone)) for task in tasks))
    each = [accuracy(backbone, all_on(backbone), task) for task in tasks]
    assert json.loads(json.dumps(evaluation.to_json())) == {
        "scenario": "GG",
        "method": None,
        "objective": None,
        "batch": EVAL_BATCH,
        "tasks": 2,
        "accuracy": sum(each) / 2,
        "task_accuracy": 1.0,
        "per_task": [
            {"name": f"blobs/{at}", "accuracy": each[at], "task_accuracy": 1.0} for at in range(2)
        ],
        "skipped": [],
    }


def test_no_tasks():
    with pytest.raises(InvalidInput, match="no tasks"):
        evaluate_gg(build(small_lenet()), [])


def test_no_test_images():
    backbone = build(small_lenet())
    with pytest.raises(InvalidInput, match="'blobs/0': no test images"):
        accuracy(backbone, all_on(backbone), Blobs(test=0))


def test_more_classes_than_outputs():
    backbone = build(small_lenet(outputs=2))
    with pytest.raises(InvalidInput, match="3 classes but the backbone 2 outputs"):
        accuracy(backbone, all_on(backbone), Blobs(classes=3))


def test_a_batch_size_that_is_none():
    backbone = build(small_lenet())
    with pytest.raises(InvalidInput, match="evaluation batch"):
        accuracy(backbone, all_on(backbone), Blobs(), 0)


def test_masks_of_another_layout():
    with pytest.raises(InvalidMask):
        accuracy(build(small_lenet()), {"w": np.ones(3, bool)}, Blobs())
