import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from supsup import Backbone, TrainConfig, build, train
from supsup.archives import create_archive, train_into, training
from supsup.training import plan
from supsup.training.plan import Plan, activation_bytes, plan_for, precision_on
from tests.supsup.helpers import Blobs, small_lenet

BACKBONE = build(small_lenet())
ON_GPU = BACKBONE.to("meta")
"""Not on the CPU, and so planned as on a GPU; its tensors have shapes and no numbers."""
CONFIG = TrainConfig(steps=1)
LENET_BYTES = 28 * 940 + 128 * 4 * (20 + 30 + 10)
"""Of a task of ``small_lenet``: by weight, and by image the inputs of its layers."""


class Maps(nn.Module):
    """Few weights, large maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, affine=False, track_running_stats=False)
        self.head = nn.Linear(8, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x.view(-1, 1, 32, 32))).relu().mean((2, 3)))


def test_a_cpu_has_a_task_for_each_core(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert plan_for(BACKBONE, CONFIG, Blobs()) == Plan(workers=6)
    assert plan_for(BACKBONE, CONFIG, Blobs(), 3) == Plan(workers=3)
    assert plan_for(BACKBONE, CONFIG, Blobs(), 1) == Plan(threads=6)


def test_no_more_tasks_than_memory_holds(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(plan, "_free_bytes", lambda device: 2 * LENET_BYTES * 4)
    assert plan_for(BACKBONE, CONFIG, Blobs()) == Plan(workers=4)
    assert plan_for(ON_GPU, CONFIG, Blobs()) == Plan(rows=4, fixed=False, threads=6)
    assert plan_for(ON_GPU, CONFIG, Blobs(), 64) == Plan(rows=64, threads=6)
    monkeypatch.setattr(plan, "_free_bytes", lambda device: 2 * LENET_BYTES * 4 - 1)
    assert plan_for(ON_GPU, CONFIG, Blobs()).rows == 3
    monkeypatch.setattr(plan, "_free_bytes", lambda device: 10)
    assert plan_for(BACKBONE, CONFIG, Blobs()) == Plan()


def test_where_activations_are_nearly_all_they_decide(monkeypatch):
    backbone, task = Backbone.from_module(Maps(), seed=0), Blobs(pixels=32 * 32)
    # The image, its maps before and after the norm (mean and deviation are no image's), and ReLU's.
    maps = 4 * 32 * 32 * 8
    each = 4 * 32 * 32 + 2 * maps + 4 * 8
    for there in (backbone, backbone.to("meta")):
        found = activation_bytes(there, task.x[:1].to(there.device), "float32")
        assert found == each
    low = activation_bytes(backbone, task.x[:1], "bfloat16")
    assert 0.4 * each < low < 0.7 * each
    monkeypatch.setattr(plan, "_free_bytes", lambda device: 10**8)
    there = backbone.to("meta")
    whole = [plan_for(there, TrainConfig(steps=1, batch=b), task).rows for b in (16, 64)]
    assert whole == [5 * 10**7 // (28 * backbone.layout.bits + b * each) for b in (16, 64)]


def test_a_task_without_test_images_is_left_to_the_training(monkeypatch):
    monkeypatch.setattr(Blobs, "test_batches", lambda self, size: iter(()))
    with pytest.raises(InvalidInput, match="'blobs/0': no test images"):
        next(train(BACKBONE, [Blobs()], CONFIG))


def test_memory_is_known():
    assert 2**20 < plan._free_bytes(torch.device("cpu")) < 2**50


def test_a_gpu_goes_on_with_the_rows_of_the_last_mask(tmp_path, monkeypatch):
    masks = {name: np.ones(shape, bool) for name, shape in BACKBONE.layout.shapes.items()}
    asked = []
    monkeypatch.setattr(
        training, "outcomes", lambda *given, parallel, **named: asked.append(parallel) or []
    )
    with create_archive(tmp_path / "a.h5", BACKBONE) as archive:
        config = TrainConfig(steps=1)
        train_into(archive, ON_GPU, [Blobs()], config)
        archive.add("a", masks, {"together": 8})
        archive.add("b", masks, {"together": 4})
        train_into(archive, ON_GPU, [Blobs()], config)
        train_into(archive, ON_GPU, [Blobs()], config, parallel=2)
        train_into(archive, BACKBONE, [Blobs()], config)
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
