import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup import Backbone, TrainConfig, build, session, train
from supsup.engine import plan
from supsup.engine.plan import Plan, plan_for
from supsup.engine.precision import precision_on
from tests.supsup.helpers import Blobs, small_lenet

BACKBONE = build(small_lenet())


class OnGpu(Backbone):
    """Says that it is there."""

    device = torch.device("cuda")


ON_GPU = OnGpu(BACKBONE.module, None, None)


def test_a_cpu_has_a_task_for_each_core(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert plan_for(BACKBONE) == Plan(lanes=6)
    assert plan_for(BACKBONE, 3) == Plan(lanes=3)
    assert plan_for(BACKBONE, 1) == Plan(threads=6)


def test_no_more_tasks_than_memory_holds(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(plan, "_free_bytes", lambda device: 2 * 16 * 940 * 4)
    assert plan_for(BACKBONE) == Plan(lanes=4)
    assert plan_for(ON_GPU) == Plan(rows=4, fixed=False, threads=6)
    assert plan_for(ON_GPU, 64) == Plan(rows=64, threads=6)
    monkeypatch.setattr(plan, "_free_bytes", lambda device: 10)
    assert plan_for(BACKBONE) == Plan()


def test_memory_is_known():
    assert 2**20 < plan._free_bytes(torch.device("cpu")) < 2**50


def test_a_gpu_goes_on_with_the_rows_of_the_last_mask(tmp_path, monkeypatch):
    masks = {name: np.ones(shape, bool) for name, shape in BACKBONE.layout.shapes.items()}
    asked = []
    monkeypatch.setattr(
        session, "train", lambda *given, parallel, **named: asked.append(parallel) or []
    )
    with session.create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        config = TrainConfig(steps=1)
        list(session.train_into(archive, ON_GPU, [], config))
        archive.add("a", masks, {"together": 8})
        archive.add("b", masks, {"together": 4})
        list(session.train_into(archive, ON_GPU, [], config))
        list(session.train_into(archive, ON_GPU, [], config, parallel=2))
        list(session.train_into(archive, BACKBONE, [], config))
    assert asked == [None, 4, 2, None]


@pytest.mark.parametrize("parallel", [0, -1, True])
def test_impossible_numbers(parallel):
    with pytest.raises(InvalidInput, match="parallel: expected a whole number from 1"):
        next(train(BACKBONE, [Blobs()], TrainConfig(steps=1), parallel=parallel))


def test_tf32_is_for_cuda():
    with pytest.raises(InvalidInput, match="tf32 is for CUDA devices, not cpu; take bfloat16"):
        next(train(BACKBONE, [Blobs()], TrainConfig(steps=1, precision="tf32")))
    assert torch.get_float32_matmul_precision() == "highest"
    with precision_on(torch.device("cuda"), "tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"
