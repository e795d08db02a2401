import pytest

from maskstore.errors import InvalidInput
from supsup.baselines import evaluate_baseline
from tests.supsup.baselines.helpers import ENOUGH, blobs, taught


def test_counts_right_answers_of_each_task():
    tasks = blobs(2)
    baseline = taught("lower-bound", tasks, ENOUGH)
    found = evaluate_baseline(baseline, tasks, batch=50)
    assert (found.scenario, found.method, found.batch) == ("GG", "lower-bound", 50)
    assert [row.name for row in found.per_task] == ["blobs/0", "blobs/1"]
    for task, row in zip(tasks, found.per_task, strict=True):
        answers = baseline.logits(task.name, task.x[300:]).argmax(1)
        assert row.accuracy == int((answers == task.y[300:]).sum()) / 130
    assert found.per_task[0].accuracy < found.per_task[1].accuracy


def test_says_what_cannot_be_evaluated():
    task, other = blobs(2)
    baseline = taught("lower-bound", [task])
    with pytest.raises(InvalidInput, match="no tasks"):
        evaluate_baseline(baseline, [])
    with pytest.raises(InvalidInput, match="task 'blobs/1': lower-bound has not learnt it"):
        evaluate_baseline(baseline, [other])
    with pytest.raises(InvalidInput, match="batch: expected a whole number from 1, got 0"):
        evaluate_baseline(baseline, [task], batch=0)
    task.test_batches = lambda size: []
    with pytest.raises(InvalidInput, match="task 'blobs/0': no test images"):
        evaluate_baseline(baseline, [task])
