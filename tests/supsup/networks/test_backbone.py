import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maskstore.errors import DigestMismatch, InvalidInput, InvalidMask
from supsup import NETS, Backbone, BackboneRecipe, build
from tests.supsup.helpers import ConvNet, as_users_run_it, small_bn, small_lenet

HERE = "tests.supsup.helpers"


def random_masks(backbone: Backbone) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=make) < 0.5
        for name, shape in backbone.layout.shapes.items()
    }


def test_the_layouts_of_the_nets_that_ship():
    fully_connected = [net for net in NETS if not net.startswith("resnet")]  # test_resnet.py
    shapes = {
        net: build(BackboneRecipe(net=net, outputs=7)).layout.shapes for net in fully_connected
    }
    assert shapes == {
        "lenet-300-100": {
            "fc1.weight": (300, 784), "fc2.weight": (100, 300), "fc3.weight": (7, 100),
        },
        "fc-1024-1024": {
            "fc1.weight": (1024, 784), "fc2.weight": (1024, 1024), "fc3.weight": (7, 1024),
        },
        "bn-2048": {"bn1.weight": (2048,), "bn2.weight": (2048,)},
    }  # fmt: skip


def test_lenet_is_masked_matrix_products():
    backbone = build(small_lenet())
    masks = random_masks(backbone)
    x = torch.randn(6, 4, 5)
    w1, w2, w3 = ((w * masks[name]).double() for name, w in backbone.weights.items())
    flat = x.double().reshape(6, 20)
    expected = torch.relu(torch.relu(flat @ w1.T) @ w2.T) @ w3.T
    torch.testing.assert_close(backbone.logits(x, masks).double(), expected, rtol=1e-5, atol=1e-5)


def test_bn_net_normalises_over_the_batch_then_scales_then_swishes():
    backbone = build(small_bn())
    masks = random_masks(backbone)
    module = backbone.module
    h = torch.randn(9, 20)
    x = h.clone().double()
    for layer, name in ((module.fc1, "bn1.weight"), (module.fc2, "bn2.weight")):
        x = x @ layer.weight.double().T
        x = (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-5) * masks[name]
        x = x * torch.sigmoid(x)
    expected = x @ module.fc3.weight.double().T
    torch.testing.assert_close(backbone.logits(h, masks).double(), expected, rtol=1e-4, atol=1e-4)


def test_bn_net_refuses_one_image_alone():
    backbone = build(small_bn())
    with pytest.raises(InvalidInput, match="at least 2 images"):
        backbone.logits(torch.zeros(1, 20), random_masks(backbone))


def test_a_batch_of_one_works_without_batch_statistics():
    backbone = build(small_lenet())
    assert backbone.logits(torch.zeros(1, 20), random_masks(backbone)).shape == (1, 4)


def test_any_module_works_and_stays_as_it_was():
    module = ConvNet(outputs=3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    backbone = Backbone.from_module(module, seed=5, statistics="batch")
    assert backbone.layout.shapes == {"conv.weight": (4, 1, 3, 3), "head.weight": (3, 64)}
    assert backbone.recipe is None

    masks, x = random_masks(backbone), torch.randn(7, 16)
    w = backbone.module.state_dict()
    h = F.conv2d(x.view(-1, 1, 4, 4), w["conv.weight"] * masks["conv.weight"], padding=1)
    h = (h - h.mean((0, 2, 3), keepdim=True)) / torch.sqrt(
        h.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5
    )
    expected = torch.relu(h).flatten(1) @ (w["head.weight"] * masks["head.weight"]).T
    torch.testing.assert_close(backbone.logits(x, masks), expected, rtol=1e-4, atol=1e-4)

    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
    assert module.training
    assert all(p.requires_grad for p in module.parameters())


def test_logits_are_differentiable_in_the_masks_and_not_in_the_weights():
    backbone = build(small_lenet())
    masks = {name: m.float().requires_grad_() for name, m in random_masks(backbone).items()}
    backbone.logits(torch.randn(3, 20), masks).sum().backward()
    assert all(m.grad is not None for m in masks.values())
    assert all(w.grad is None for w in backbone.module.parameters())


def test_many_masks_at_once_through_vmap():
    backbone = build(small_lenet())
    masks = random_masks(backbone)
    stacked = {name: torch.stack([m, ~m]) for name, m in masks.items()}
    x = torch.randn(3, 20)
    both = torch.func.vmap(lambda m: backbone.logits(x, m))(stacked)
    torch.testing.assert_close(both[0], backbone.logits(x, masks))
    flipped = {name: ~m for name, m in masks.items()}
    torch.testing.assert_close(both[1], backbone.logits(x, flipped))


def test_maskable_names_choose_the_layout():
    backbone = build(small_lenet(maskable=("fc3.weight", "fc1.weight")))
    assert list(backbone.layout.shapes) == ["fc1.weight", "fc3.weight"]


def test_an_unknown_maskable_name_is_refused():
    with pytest.raises(InvalidInput, match="no parameter 'fc9.weight'; the module has: fc1.weight"):
        build(small_lenet(maskable=("fc9.weight",)))


def test_a_module_with_nothing_to_mask_is_refused():
    with pytest.raises(InvalidInput, match="no parameter that a mask could cover"):
        Backbone.from_module(nn.ReLU(), seed=0)


def test_parameters_must_be_float32():
    with pytest.raises(InvalidInput, match="'weight': expected float32, got torch.float64"):
        Backbone.from_module(nn.Linear(2, 2).double(), seed=0)


def test_module_function_recipes_need_permission():
    recipe = BackboneRecipe(net=f"{HERE}:ConvNet", outputs=3, seed=5, options={"channels": 2})
    with pytest.raises(InvalidInput, match="code from outside"):
        build(recipe)
    assert build(recipe, allow_code=True).layout.shapes["conv.weight"] == (2, 1, 3, 3)


def test_a_recipe_and_the_module_it_names_agree():
    built = build(BackboneRecipe(net=f"{HERE}:ConvNet", outputs=3, seed=5), allow_code=True)
    assert built.digest == Backbone.from_module(ConvNet(outputs=3), seed=5).digest


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (
            "resnet-9000",
            {},
            "bn-2048, resnet18, resnet50, module:function or torchvision:NAME",
        ),
        ("no_such_module_of_nets:make", {}, "cannot import module 'no_such_module_of_nets'"),
        (":make", {}, "cannot import module ''"),
        (f"{HERE}:NoNet", {}, "has no function 'NoNet'"),
        (f"{HERE}:not_a_module", {}, "expected an nn.Module from it, got int"),
        (
            f"{HERE}:ConvNet",
            {"depth": 3},
            r"it is called with: \(outputs=.*depth=3",
        ),
        (
            "lenet-300-100",
            {"depth": 3},
            r"it is called with: \(outputs=.*depth=3",
        ),
        ("lenet-300-100", {"hidden": [0]}, "layer width"),
        ("bn-2048", {"width": "wide"}, "layer width"),
        ("bn-2048", {"width": 10**7}, "at most 4294967295 are supported"),
        ("lenet-300-100", {"hidden": [10**6, 10**6]}, "at most 4294967295 are supported"),
    ],
)
def test_an_unusable_net_is_named(net, options, message):
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        build(BackboneRecipe(net=net, outputs=3, options=options), allow_code=True)


def test_another_seed_fails_the_digest_naming_both():
    backbone, other = build(small_lenet(seed=0)), build(small_lenet(seed=1))
    backbone.check_digest(build(small_lenet(seed=0)).digest)
    with pytest.raises(DigestMismatch) as caught:
        backbone.check_digest(other.digest)
    assert backbone.digest in str(caught.value)
    assert other.digest in str(caught.value)


def test_stored_masks_must_fit():
    backbone = build(small_lenet())
    masks = {name: m.numpy() for name, m in random_masks(backbone).items()}
    assert all(
        torch.equal(t, torch.from_numpy(masks[name])) for name, t in backbone.tensors(masks).items()
    )
    with pytest.raises(InvalidMask, match="expected shape"):
        backbone.tensors(masks | {"fc1.weight": np.zeros((2, 2), bool)})


def test_parameter_count_is_of_the_dense_model():
    assert build(small_bn()).parameter_count == 20 * 64 + 64 + 64 * 64 + 64 + 64 * 4


def test_to_the_same_device_is_the_same_backbone():
    backbone = build(small_lenet())
    assert backbone.to("cpu") is backbone


def test_to_another_device_copies():
    backbone = build(small_lenet())
    moved = backbone.to("meta")
    assert moved.device.type == "meta"
    assert moved.layout == backbone.layout
    assert backbone.device.type == "cpu"


@pytest.mark.parametrize(
    ("inputs", "call"),
    [
        (dict.fromkeys(("ids", "mask"), torch.ones(2, 3)), r"forward\(self, ids, mask\)"),
        ((torch.ones(2, 3), torch.ones(2, 3)), r"forward\(self, a, b\)"),
    ],
    ids=["dict", "tuple"],
)
def test_a_forward_that_takes_the_inputs_as_one_is_told_how_they_are_given(inputs, call):
    backbone = Backbone.from_module(nn.Sequential(nn.Linear(3, 2)), seed=0)
    with pytest.raises(InvalidInput, match=f"arguments of their own: {call}"):
        backbone.run(inputs, backbone.weights)
