"""The residual nets, against their layers written out, and as vmap and archives need them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import grad, vmap

from benchmarks.resnet50 import layout as imagenet_layout
from maskstore.errors import InvalidInput
from supsup import BackboneRecipe, TensorTask, TrainConfig, build, train
from supsup.masking import budget
from supsup.networks.per_task import read_own
from tests.supsup.helpers import as_users_run_it

SMALL = {"width": 4, "blocks": [1, 2]}
NETS = ["resnet18", "resnet50"]


def small(net: str) -> BackboneRecipe:
    return BackboneRecipe(net=net, outputs=5, options=SMALL, statistics="batch")


def random_masks(backbone, tasks: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: (torch.rand(tasks, *w.shape, generator=generator) < 0.5).float()
        for name, w in backbone.weights.items()
    }


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_resnet18_is_the_papers():
    """20-40-80-160 channels: 1,090,940 weights with five outputs, as its code counts them."""
    backbone = build(BackboneRecipe(net="resnet18", outputs=5, statistics="batch"))
    shapes = backbone.layout.shapes
    assert backbone.layout.bits == backbone.parameter_count == 1_090_940
    assert shapes["conv1.weight"] == (20, 3, 3, 3)
    assert shapes["layer4.1.conv2.weight"] == (160, 160, 3, 3)
    assert shapes["fc.weight"] == (5, 160)
    assert not list(backbone.module.named_buffers())
    assert {len(shape) for shape in shapes.values()} == {2, 4}


def test_resnet50_is_the_standard_one():
    """25,502,912 weights in convolutions and a head of 1,000, as torchvision's model has."""
    backbone = build(BackboneRecipe(net="resnet50", outputs=10, statistics="batch"))
    # In another order: torchvision's names, which the benchmark writes out by hand.
    assert dict(backbone.layout.shapes) == dict(imagenet_layout()[0].shapes)
    assert backbone.layout.bits + 990 * 2048 == 25_502_912
    assert not list(backbone.module.named_buffers())


def by_hand(backbone, x: torch.Tensor, weights: dict[str, torch.Tensor], small: bool):
    """The network from its definition, names only used to look weights up."""

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean((0, 2, 3), keepdim=True)
        return centred / (centred.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        w = weights[f"{name}.weight"]
        return norm(F.conv2d(x, w, stride=stride, padding=w.shape[-1] // 2))

    x = torch.relu(conv(x, "conv1", 1 if small else 2))
    if not small:
        x = F.max_pool2d(x, 3, 2, 1)
    for stage, count in enumerate(SMALL["blocks"], start=1):
        for at in range(count):
            name = f"layer{stage}.{at}"
            stride = 2 if stage > 1 and at == 0 else 1
            if f"{name}.conv3.weight" in weights:
                y = torch.relu(conv(x, f"{name}.conv1"))
                y = torch.relu(conv(y, f"{name}.conv2", stride))
                y = conv(y, f"{name}.conv3")
            else:
                y = torch.relu(conv(x, f"{name}.conv1", stride))
                y = conv(y, f"{name}.conv2")
            if f"{name}.downsample.weight" in weights:
                x = conv(x, f"{name}.downsample", stride)
            x = torch.relu(x + y)
    return x.mean((2, 3)) @ weights["fc.weight"].T


@pytest.mark.parametrize("net", NETS)
def test_logits_are_those_of_the_definition(net):
    backbone = build(small(net))
    masks = {name: mask[0] for name, mask in random_masks(backbone, 1).items()}
    weights = {name: w.double() * masks[name] for name, w in backbone.weights.items()}
    x = images(6)
    expected = by_hand(backbone, x.double(), weights, net == "resnet18")
    np.testing.assert_allclose(backbone.logits(x, masks), expected, atol=2e-5)


@pytest.mark.parametrize("net", NETS)
def test_weights_are_signed_constants(net):
    for w in build(small(net)).weights.values():
        fan_in = w[0].numel()  # channels times the kernel
        assert torch.equal(w.abs(), torch.full_like(w, (2 / fan_in) ** 0.5))
        assert 0.3 < float((w > 0).float().mean()) < 0.7


@pytest.mark.parametrize("net", NETS)
def test_many_tasks_at_once(net):
    """vmap over masks and batches: answers and gradients are those of one task after another."""
    backbone = build(small(net))
    masks, x = random_masks(backbone, 3), images(3, 5)
    labels = torch.tensor([0, 1, 2, 3, 4])

    def loss(masks: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(backbone.logits(x, masks), labels)

    together = vmap(backbone.logits)(x, masks)
    slopes = vmap(grad(loss))(masks, x)
    for task in range(3):
        alone = {name: mask[task] for name, mask in masks.items()}
        assert torch.allclose(together[task], backbone.logits(x[task], alone), atol=1e-5)
        for name, slope in grad(loss)(alone, x[task]).items():
            assert torch.allclose(slopes[name][task], slope, rtol=1e-3, atol=1e-4), name
            assert slope.abs().max() > 0


def test_statistics_are_the_batchs_in_both_modes():
    x = images(8)
    backbone = build(small("resnet18"))
    masks = {name: mask[0] for name, mask in random_masks(backbone, 1).items()}
    whole = backbone.logits(x, masks)
    backbone.module.train()
    assert torch.equal(backbone.logits(x, masks), whole)
    assert not torch.allclose(backbone.logits(x[:4], masks), whole[:4], atol=1e-2)


def test_what_it_does_not_take():
    batch = build(small("resnet18"))
    masks = {name: torch.ones_like(w) for name, w in batch.weights.items()}
    with as_users_run_it():
        with pytest.raises(InvalidInput, match="at least 2 images at a time, got 1"):
            batch.logits(images(1), masks)
        for x in (torch.zeros(4, 784), torch.zeros(4, 1, 8, 8)):
            with pytest.raises(InvalidInput, match=r"colour images, \(batch, 3, height, width\)"):
                batch.logits(x, masks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "'width': expected a whole number from 1, got 0"),
        ({"blocks": []}, "'blocks': expected 1 to 8 numbers"),
        ({"blocks": [1, 0]}, "'blocks': expected numbers from 1 to 1000"),
        ({"blocks": 3}, "'blocks'"),
        ({"stem": "none"}, "'stem': expected small or large, got 'none'"),
        ({"width": 2**16}, "more weights than"),
        ({"block": "x"}, "'block': fixed by the net's name"),
        ({"depth": 3}, r"it is called with: \(outputs=.*depth=3"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        build(BackboneRecipe(net="resnet18", outputs=5, options=options))


class Colours:
    """Classes told apart by their mean colour."""

    recipe = None
    device = torch.device("cpu")
    name, classes, train_size = "colours/0", 3, 90

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(2)
        self.y = torch.arange(150) % 3
        self.x = torch.randn(150, 3, 8, 8, generator=generator)
        self.x[torch.arange(150), self.y] += 1

    def train_batch(self, indices):
        return self.x[indices], self.y[indices]

    def test_batches(self, size):
        yield from zip(self.x[90:].split(size), self.y[90:].split(size), strict=True)


@pytest.mark.parametrize("net", NETS)
def test_training_finds_a_mask(net):
    """Edge-popup with an Erdős–Rényi budget over convolutions: exactly its share, and it learns."""
    backbone = build(small(net))
    config = TrainConfig(
        steps=25, batch=30, rule="topk", density=0.3, budget="erdos-renyi", optimizer="adam",
        lr=0.02,
    )  # fmt: skip
    (trained,) = train(backbone, [Colours()], config)
    keep = budget(backbone.layout, 0.3, "erdos-renyi")
    assert {name: int(mask.sum()) for name, mask in trained.masks.items()} == keep
    assert sum(keep.values()) == round(0.3 * backbone.layout.bits)
    assert trained.metrics["accuracy"] > 0.8


@pytest.mark.parametrize("net", NETS)
def test_scales_and_shifts_of_each_task(net):
    """They cost no bit of a mask, and a gradient reaches every one."""
    plain = build(small(net))
    options = SMALL | {"affine": True}
    recipe = BackboneRecipe(net=net, outputs=5, options=options, per_task=("*bn*",))
    backbone = build(recipe)
    assert backbone.layout == plain.layout
    own = backbone.own_parameters
    assert len(own) == 2 * sum("conv" in name or "downsample" in name for name in plain.weights)
    x, y = images(8), torch.arange(8) % 5
    task = TensorTask("one", train=(x, y), test=(x, y), classes=5)
    (trained,) = train(backbone, [task], TrainConfig(steps=3, batch=8), parallel=1)
    assert trained.tensors.keys() >= own.keys()
    found = read_own(own, trained.tensors, "one")
    assert min(float((found[name] - own[name]).abs().max()) for name in own) > 0
    with pytest.raises(InvalidInput, match="affine"):
        build(BackboneRecipe(net=net, outputs=5, options={"affine": 1}))
