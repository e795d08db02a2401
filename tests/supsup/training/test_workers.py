"""Groups on threads: order, errors, memory that runs out, and the end."""

import threading
import time

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup import TrainConfig, TrainingDiverged, build, train
from supsup.training import workers
from supsup.training.group import train_group
from supsup.training.plan import Plan
from tests.supsup.helpers import Blobs, small_lenet

TASKS = [Blobs(name=f"blobs/{at}") for at in range(5)]
SHORT = TrainConfig(steps=3)


def run(plan: Plan, tasks=TASKS, config=SHORT, report=lambda progress: None):
    return list(workers.train_groups(build(small_lenet()), tasks, config, plan, report))


@pytest.fixture
def groups(monkeypatch):
    """Names and rows of the groups that are trained; a test may make some of them fail."""
    seen, fails = [], []

    def watched(backbone, tasks, config, *, rows, report, stopped, transfer, others):
        seen.append(([task.name[-1] for task in tasks], rows))
        for fail in fails:
            fail(tasks, rows)
        return train_group(backbone, tasks, config, rows=rows, report=report, stopped=stopped)

    monkeypatch.setattr(workers, "train_group", watched)
    return seen, fails


@pytest.mark.parametrize("plan", [Plan(), Plan(workers=3), Plan(rows=2), Plan(workers=2, rows=2)])
def test_outcomes_come_in_order_whoever_is_first(plan, groups):
    groups[1].append(lambda tasks, rows: time.sleep(0.05 * (tasks[0].name == "blobs/0")))
    assert [found.name for found in run(plan)] == [task.name for task in TASKS]


def test_bits_depend_neither_on_lanes_nor_on_threads():
    plans = [Plan(), Plan(workers=2), Plan(workers=4)]
    first, *others = [run(plan, config=TrainConfig(steps=25)) for plan in plans]
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert a.metrics == b.metrics
            assert a.metadata == b.metadata
            for name, layer in a.masks.items():
                np.testing.assert_array_equal(layer, b.masks[name])


def test_groups_are_filled_in_order(groups):
    run(Plan(rows=2))
    assert groups[0] == [(["0", "1"], 2), (["2", "3"], 2), (["4"], 2)]


def test_unless_rows_are_fixed_no_group_has_more_than_the_first_needs(groups):
    run(Plan(rows=100, fixed=False))
    assert groups[0] == [(["0", "1", "2", "3", "4"], 5)]


def test_tasks_of_different_length_are_not_together(groups):
    tasks = [*TASKS[:2], Blobs(name="long/2", train=800), *TASKS[3:]]
    run(Plan(rows=2), tasks, TrainConfig(epochs=1))
    assert groups[0] == [(["0", "1"], 2), (["2"], 2), (["3", "4"], 2)]


def test_a_group_too_large_for_memory_is_halved_and_later_ones_are_small(groups):
    def fail(tasks, rows):
        if rows > 2:
            raise torch.OutOfMemoryError

    groups[1].append(fail)
    found = run(Plan(rows=4), [*TASKS, *(Blobs(name=f"blobs/{at}") for at in range(5, 8))])
    assert [one.name[-1] for one in found] == list("01234567")
    assert groups[0] == [
        (["0", "1", "2", "3"], 4),
        (["0", "1"], 2),
        (["2", "3"], 2),
        (["4", "5"], 2),
        (["6", "7"], 2),
    ]
    assert {one.metadata["together"] for one in found} == {2}


def test_lanes_that_do_not_fit_side_by_side_take_turns(groups):
    busy, most = [], []

    def fail(tasks, rows):
        busy.append(1)
        time.sleep(0.02)
        crowd = len(busy)
        most.append(crowd)
        busy.pop()
        if crowd > 1:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    groups[1].append(fail)
    assert [one.name for one in run(Plan(workers=4))] == [task.name for task in TASKS]
    assert max(most) > 1
    assert most[-1] == 1


def test_what_never_fits_is_an_error(groups):
    def fail(tasks, rows):
        raise MemoryError("no room")

    groups[1].append(fail)
    for plan in (Plan(), Plan(rows=4), Plan(workers=2)):
        with pytest.raises(MemoryError, match="no room"):
            run(plan)


def test_an_error_waits_for_its_turn():
    tasks = [*TASKS[:2], Blobs(name="wide", classes=9), TASKS[2]]
    stored = []
    with pytest.raises(InvalidInput, match="'wide' has 9 classes"):
        for mask in train(build(small_lenet()), tasks, SHORT, parallel=3):
            stored.append(mask.name)
    assert stored == ["blobs/0", "blobs/1"]


def test_diverged_tasks_are_told_and_the_others_go_on():
    bad = Blobs(name="bad")
    bad.x[:] = float("inf")
    failures: list[TrainingDiverged] = []
    found = train(build(small_lenet()), [TASKS[0], bad, TASKS[1]], SHORT, diverged=failures.append)
    assert [mask.name for mask in found] == ["blobs/0", "blobs/1"]
    assert [failure.task for failure in failures] == ["bad"]


def test_reports_come_in_the_callers_thread_before_the_task_is_given():
    seen = []

    def report(progress):
        seen.append((threading.current_thread(), progress.name, progress.step))

    for mask in train(build(small_lenet()), TASKS, SHORT, progress=report):
        assert (threading.current_thread(), mask.name, 3) in seen
    assert len(seen) == len(TASKS)


def test_nothing_runs_on_when_nobody_listens():
    before, cores = threading.active_count(), torch.get_num_threads()
    masks = train(build(small_lenet()), [TASKS[0], *[Blobs(train=10**6)] * 3],
                  TrainConfig(epochs=1, batch=64), parallel=2)  # fmt: skip
    next(masks)
    assert threading.active_count() > before
    masks.close()
    assert threading.active_count() == before
    assert torch.get_num_threads() == cores
