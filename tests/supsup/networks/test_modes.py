"""Process-wide defaults of PyTorch change no number: gradients off, autocast, types, devices."""

import ast
import random
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

import supsup
from supsup import TrainConfig, build, train
from supsup.inference import MaskBank, infer_in
from supsup.networks.modes import construction, plain_modes, seeded_generators
from supsup.tasks import make_task, task_family
from tests.supsup.helpers import Blobs, small_bn, small_lenet
from tests.supsup.inference.helpers import BY_MASKS

MAKERS = {
    "zeros", "ones", "empty", "full", "arange", "tensor", "as_tensor", "rand", "randn", "randint",
    "randperm", "eye", "linspace",
}  # fmt: skip


def bare_calls(source: str) -> list[str]:
    """Calls of torch's makers of tensors that leave the type or the device to a default."""
    return [
        f"line {node.lineno}: torch.{node.func.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in MAKERS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "torch"
        and not {"dtype", "device"} <= {keyword.arg for keyword in node.keywords}
    ]


def test_no_tensor_is_made_by_default():
    folder = Path(supsup.__file__).parent
    found = {str(f.relative_to(folder)): bare_calls(f.read_text()) for f in folder.rglob("*.py")}
    assert len(found) > 100
    assert {file: calls for file, calls in found.items() if calls} == {}
    assert bare_calls("x = torch.zeros(3, dtype=torch.int64)") == ["line 1: torch.zeros"]


@contextmanager
def default_type():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES = {
    "float64 by default": default_type,
    "meta by default": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def everything(net) -> list[np.ndarray]:
    """Training, evaluation and every method of inference, as numbers."""
    backbone = build(net())
    tasks = [Blobs(name=f"blobs/{at}", train=128, test=64) for at in range(3)]
    found = list(train(backbone, tasks, TrainConfig(steps=4, batch=32, optimizer="adam")))
    packed = backbone.layout
    masks = [packed.pack(each.masks) for each in found]
    bank = MaskBank(backbone, _packed(packed, masks), classes=2)
    numbers = [*masks, np.array([each.metrics["accuracy"] for each in found])]
    x = tasks[1].x[:16] * 1.0  # made under the mode
    for method in BY_MASKS:
        for mode in ("image", "batch"):
            if net is small_bn and mode == "image" and method in ("one-shot", "binary", "hybrid"):
                continue
            result = infer_in(bank, x, method=method, objective="energy", mode=mode)
            numbers += [result.evidence, result.predictions, result.energy]
    return numbers


def _packed(layout, rows):
    from maskstore.packed import PackedMasks

    return PackedMasks(layout=layout, names=("a", "b", "c"), bits=np.stack(rows))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("net", [small_lenet, small_bn], ids=["lenet", "bn"])
def test_the_same_bits_under_every_mode(net, mode):
    expected = everything(net)
    with MODES[mode]():
        found = everything(net)
    assert len(expected) == len(found)
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", ["rotated-mnist-sample", "permuted-mnist-sample"])
def test_batches_are_the_same_under_every_mode(family, mode):
    from supsup.datasets import load

    def batch():
        task = make_task(task_family(family, 2)[1], load("mnist-sample"))
        return task.train_batch(torch.arange(8, device="cpu"))[0]

    expected = batch()
    with MODES[mode]():
        found = batch()
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(expected.numpy(), found.numpy())


def test_generators_and_defaults_are_the_callers_afterwards():
    def drawn():
        return float(torch.rand(())), float(np.random.rand()), random.random()

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = drawn()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    with default_type():
        with construction(seed=3):
            inside = drawn()
            assert torch.ones(1).dtype == torch.float32
        with seeded_generators(torch.device("cpu"), 3), nullcontext():
            assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_dtype() == torch.float64
    assert drawn() == expected
    with construction(seed=3):
        assert drawn() == inside


def test_plain_modes_are_set_back():
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        with plain_modes():
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
