"""Groups of tasks against the same tasks alone."""

import math

import numpy as np
import pytest

from supsup import Backbone, TrainConfig, TrainedMask, TrainingDiverged, build
from supsup.training.group import Stopped, train_group
from tests.supsup.helpers import Blobs, ConvNet, small_bn, small_lenet

TASKS = [Blobs(name=f"blobs/{at}", pixels=16) for at in range(3)]
NETS = {
    "linear": lambda: build(small_lenet(pixels=16)),
    "bn": lambda: build(small_bn(pixels=16)),
    "conv": lambda: Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch"),
}


def group(backbone, tasks, config, *, rows=None, stopped=lambda: False):
    seen = []
    outcomes = train_group(
        backbone, tasks, config, rows=rows or len(tasks), report=seen.append, stopped=stopped
    )
    return outcomes, seen


@pytest.mark.parametrize("rule", ["threshold", "topk"])
@pytest.mark.parametrize("net", NETS)
def test_together_is_alone_within_rounding(net, rule):
    config = TrainConfig(steps=20, rule=rule, lr=0.05, shared_scores=False)
    together, seen = group(NETS[net](), TASKS, config)
    assert [progress.name for progress in seen] == [task.name for task in TASKS]
    for task, found in zip(TASKS, together, strict=True):
        (alone,), (progress,) = group(NETS[net](), [task], config)
        losses = {p.name: p.loss for p in seen}
        assert progress.loss == pytest.approx(losses[task.name], rel=1e-4)
        assert found.metrics == pytest.approx(alone.metrics, rel=1e-2)
        assert found.metadata == alone.metadata | {"together": 3}
        differ = sum(int((a != found.masks[n]).sum()) for n, a in alone.masks.items())
        assert differ <= 2


def test_bits_do_not_depend_on_who_shares_a_step():
    config = TrainConfig(steps=30)
    backbone = NETS["linear"]()
    together, _ = group(backbone, TASKS, config, rows=4)
    (alone,), seen = group(backbone, TASKS[:1], config, rows=4)
    assert len(seen) == 2  # the rows that only fill up are not reported
    for name, layer in alone.masks.items():
        np.testing.assert_array_equal(layer, together[0].masks[name])


def test_a_task_that_diverges_leaves_the_others_alone():
    bad = Blobs(name="bad", pixels=16)
    bad.x[:] = math.nan
    backbone, config = NETS["linear"](), TrainConfig(steps=30)
    first, failed, last = group(backbone, [TASKS[0], bad, TASKS[1]], config)[0]
    assert isinstance(failed, TrainingDiverged)
    assert failed.task == "bad"
    assert "the loss is nan at step 20 of 30" in str(failed)
    healthy = group(backbone, [TASKS[0], TASKS[2], TASKS[1]], config)[0]
    for found, wanted in ((first, healthy[0]), (last, healthy[2])):
        assert isinstance(found, TrainedMask)
        for name, layer in wanted.masks.items():
            np.testing.assert_array_equal(layer, found.masks[name])


def test_bfloat16_reaches_the_accuracy():
    config = TrainConfig(steps=60, precision="bfloat16")
    for net in ("linear", "conv"):
        (low,) = group(NETS[net](), TASKS[:1], config)[0]
        assert low.metrics["accuracy"] > 0.9
        assert low.metadata["training"]["precision"] == "bfloat16"


def test_a_group_can_be_stopped():
    steps = []

    def stopped() -> bool:
        steps.append(1)
        return len(steps) > 5

    with pytest.raises(Stopped):
        group(NETS["linear"](), TASKS, TrainConfig(steps=10**6), stopped=stopped)


def test_the_shared_module_is_left_alone():
    backbone = NETS["conv"]()
    digest, module = backbone.digest, backbone.module
    replica = backbone.replica()
    assert replica.module is not module
    for a, b in zip(replica.module.parameters(), module.parameters(), strict=True):
        assert a.data_ptr() == b.data_ptr()
    group(backbone, TASKS[:1], TrainConfig(steps=2))
    assert Backbone(module, None, tuple(backbone.layout.shapes)).digest == digest
