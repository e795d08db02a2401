"""What runs on a GPU gives what it gives on the processor: each test once on either, the second
where there is one. On the processor they compare with what it computes in another way."""

import numpy as np
import pytest
import torch

from supsup import BackboneRecipe, SupSup, TrainConfig, build, train
from supsup.datasets import Dataset, load
from supsup.inference import MaskBank, infer_in
from supsup.inference.kernels import TorchKernels, kernels_of
from supsup.networks.backbone import Backbone
from supsup.tasks import TaskRecipe, make_task, task_family
from tests.supsup.inference.helpers import images, odd_net, random_masks


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(scope="module")
def digits():
    return load("mnist-sample", quiet=True)


def agreement(one, other) -> float:
    """Share of the weights on which two masks agree."""
    return float(np.mean(np.concatenate([(one[k] == other[k]).ravel() for k in one])))


def tasks_on(device, digits, count: int, family: str = "permuted-mnist-sample"):
    moved = digits.to(device)
    return [make_task(recipe, moved) for recipe in task_family(family, count)]


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (17, 300), (40, 4099)])
def test_kernels(device, shape, vectors):
    rng = np.random.default_rng(0)
    packed = rng.integers(0, 256, shape, dtype=np.uint8)
    unpacked = np.unpackbits(packed, axis=1, bitorder="little")
    flat = rng.standard_normal((vectors, 8 * shape[1])).astype(np.float32)
    bits, numbers = torch.from_numpy(packed).to(device), torch.from_numpy(flat).to(device)
    for kernels in (kernels_of(device), TorchKernels()):
        found = kernels.multiply(bits, numbers).cpu().numpy()
        expected = flat.astype(np.float64) @ unpacked.T
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        counts = torch.zeros(8 * shape[1], dtype=torch.int32, device=device)
        kernels.count_bits(bits, counts)
        assert np.array_equal(counts.cpu(), unpacked.sum(0))
        kernels.count_bits(bits[1:], counts, -1)
        assert np.array_equal(counts.cpu(), unpacked[0])
        applied = kernels.apply_masks(bits, numbers[0]).cpu().numpy()
        assert np.array_equal(applied, unpacked * flat[0])


@pytest.mark.parametrize("method", ["one-shot", "binary", "exhaustive", "hybrid"])
def test_inference(device, method):
    backbone = odd_net()
    masks, x = random_masks(backbone, 20), images(4)
    expected = infer_in(MaskBank(backbone, masks, kernels=TorchKernels()), x, method=method)
    found = infer_in(MaskBank(odd_net().to(device), masks), x.to(device), method=method)
    assert np.allclose(found.evidence, expected.evidence, rtol=1e-3, atol=1e-5)
    assert np.array_equal(found.predictions, expected.predictions)


CONFIGS = {
    "threshold, rmsprop": ("lenet-300-100", {"optimizer": "rmsprop", "lr": 1e-4}),
    "threshold, sgd": ("lenet-300-100", {}),
    "top-k, adam": ("lenet-300-100", {"rule": "topk", "optimizer": "adam", "lr": 0.01, "steps": 8}),
}


@pytest.mark.parametrize(("net", "how"), CONFIGS.values(), ids=CONFIGS)
def test_training(device, digits, net, how):
    """Two tasks in one step there; one at a time here."""
    recipe = BackboneRecipe(net=net, outputs=20)
    config = TrainConfig(**{"steps": 30, "batch": 64} | how)
    expected = list(train(build(recipe), tasks_on("cpu", digits, 2), config, parallel=1))
    found = list(train(build(recipe).to(device), tasks_on(device, digits, 2), config, parallel=2))
    for one, other in zip(expected, found, strict=True):
        assert agreement(one.masks, other.masks) > 0.99
        assert other.metrics["accuracy"] == pytest.approx(one.metrics["accuracy"], abs=0.03)
    assert agreement(found[0].masks, found[1].masks) < 0.99


def pictures_on(device: torch.device):
    """Two tasks of two classes of noise around a colour."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    colours = rng.uniform(60, 190, (4, 3, 1, 1))
    pixels = np.clip(colours[labels] + rng.normal(0, 40, (160, 3, 8, 8)), 0, 255).astype(np.uint8)
    x, y = torch.from_numpy(pixels), torch.from_numpy(labels)
    data = Dataset(
        name="colours",
        classes=4,
        train_images=x[:120],
        train_labels=y[:120],
        test_images=x[120:],
        test_labels=y[120:],
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
    ).to(device)
    return [
        make_task(TaskRecipe(dataset="colours", rule="split", index=at, options={"ways": 2}), data)
        for at in (0, 1)
    ]


def test_convolutions(device):
    """Several tasks of a residual net in one step: as many weights, nearly the same ones."""
    recipe = BackboneRecipe(net="resnet18", outputs=2, options={"width": 2}, statistics="batch")
    config = TrainConfig(steps=4, batch=16, rule="topk", density=0.3, optimizer="adam", lr=0.01)
    expected = list(train(build(recipe), pictures_on("cpu"), config, parallel=1))
    found = list(train(build(recipe).to(device), pictures_on(device), config, parallel=2))
    for one, other in zip(expected, found, strict=True):
        kept = [sum(int(mask.sum()) for mask in each.masks.values()) for each in (one, other)]
        assert kept[0] == kept[1]
        assert agreement(one.masks, other.masks) > 0.98


def test_an_archive(device, digits, tmp_path):
    """Trained, stored, evaluated and asked there; opened and asked again on the processor."""
    tasks = tasks_on(device, digits, 3)
    x, _ = tasks[0].test_batch(torch.arange(40, device=device))
    with SupSup.create(tmp_path / "a.h5", "lenet-300-100", outputs=10, device=device) as model:
        model.train(tasks, steps=40, quiet=True)
        there = model.evaluate(tasks, "GG")
        names = [name for name in model.tasks for _ in range(20)][: len(x)]
        asked = [model.predict(x, names), model.predict(x, names[0])]
        found = model.infer(x, method="one-shot", mode="batch")
    assert there.accuracy > 0.7
    with SupSup.open(tmp_path / "a.h5") as model:
        assert model.evaluate(tasks_on("cpu", digits, 3), "GG").accuracy == pytest.approx(
            there.accuracy, abs=0.002
        )
        again = [model.predict(x.cpu(), names), model.predict(x.cpu(), names[0])]
        for one, other in zip(asked, again, strict=True):
            assert np.allclose(one.probabilities, other.probabilities, atol=1e-3)
            assert np.mean(one.predictions == other.predictions) > 0.97
        same = model.infer(x.cpu(), method="one-shot", mode="batch")
        assert found.names == same.names


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_low_precision(digits, precision):
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=20)).to("cuda")
    config = TrainConfig(steps=60, precision=precision)
    (mask,) = train(backbone, tasks_on("cuda", digits, 1), config)
    assert mask.metrics["accuracy"] > 0.7


def test_the_network_is_where_it_was_put(device):
    backbone: Backbone = build(BackboneRecipe(net="lenet-300-100", outputs=5)).to(device)
    assert backbone.device.type == device.type
    assert {weight.device.type for weight in backbone.weights.values()} == {device.type}
