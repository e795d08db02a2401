"""The weights' distributions, and golden digests: archives depend on these bits."""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from maskstore.seeded import streams as seeded
from supsup import Backbone, BackboneRecipe, build
from supsup.networks.weights import digest_of, draw_weights
from tests.supsup.helpers import small_bn, small_lenet


def draw(init: str, shape: tuple[int, ...] = (40, 50), fan_density: float = 0.5) -> np.ndarray:
    return draw_weights("w", shape, seed=1, init=init, fan_density=fan_density)


def test_signed_constant_is_the_kaiming_deviation_with_seeded_signs():
    w = draw("signed-constant")
    np.testing.assert_array_equal(np.abs(w), np.float32(np.sqrt(2 / 50)))
    np.testing.assert_array_equal(np.sign(w), seeded.signs(1, "weights/w", (40, 50)))


def test_scaled_signed_constants_are_larger_for_the_weights_that_masks_leave_out():
    w = draw("scaled-signed-constant", fan_density=0.02)
    np.testing.assert_array_equal(np.abs(w), np.float32(np.sqrt(2 / (0.02 * 50))))
    np.testing.assert_array_equal(np.sign(w), np.sign(draw("signed-constant")))


@pytest.mark.parametrize(
    ("init", "fan_density", "std"),
    [("kaiming-normal", 0.5, (2 / 50) ** 0.5), ("scaled-kaiming", 0.25, (2 / 12.5) ** 0.5)],
)
def test_normal_inits_have_the_documented_deviation(init, fan_density, std):
    w = draw(init, fan_density=fan_density)
    np.testing.assert_array_equal(w, seeded.normal(1, "weights/w", (40, 50), std))


def test_fan_in_of_a_convolution_counts_its_kernel():
    assert abs(draw("signed-constant", (8, 4, 3, 3))[0, 0, 0, 0]) == np.float32((2 / 36) ** 0.5)


def test_vectors_are_not_random():
    fixed = {name: draw_weights(name, (3,), seed=0, init="kaiming-normal", fan_density=0.5).tolist()
             for name in ("fc.bias", "bn.weight")}  # fmt: skip
    assert fixed == {"fc.bias": [0, 0, 0], "bn.weight": [1, 1, 1]}


# sha256 over names, shapes and little-endian float32 values.
GOLDEN = {
    ("small_lenet", "signed-constant"): "eb8873b94ed1bc1d",
    ("small_lenet", "scaled-kaiming"): "4d87ba3e44fb47aa",
    ("small_lenet", "kaiming-normal"): "5f00d884a821227e",
    ("small_bn", "signed-constant"): "21c48ae12c7236cd",
    ("small_bn", "scaled-kaiming"): "130ed51abcff6aba",
    ("small_bn", "kaiming-normal"): "b537940f1170f6da",
    "lenet-300-100": "877ae5808d49f9c4",
}


@pytest.mark.parametrize("net", [small_lenet, small_bn])
@pytest.mark.parametrize("init", ["signed-constant", "scaled-kaiming", "kaiming-normal"])
def test_golden_digests(net, init):
    assert build(net(seed=3, init=init)).digest[:16] == GOLDEN[net.__name__, init]


def test_golden_digest_of_the_full_lenet():
    recipe = BackboneRecipe(net="lenet-300-100", outputs=100, seed=0)
    assert build(recipe).digest[:16] == GOLDEN["lenet-300-100"]


def test_the_digest_is_what_its_docstring_says():
    expected = hashlib.sha256()
    for name, values in (("a", [1.0, 2.0]), ("b", [3.0])):
        head = json.dumps([name, "<f4", [len(values)]], separators=(",", ":")) + "\n"
        expected.update(head.encode() + np.array(values, "<f4").tobytes())
    found = digest_of([("a", torch.tensor([1.0, 2.0])), ("b", torch.tensor([3.0]))])
    assert found == expected.hexdigest()


def test_the_digest_sees_names_shapes_types_and_order():
    a, b = torch.zeros(2, 3), torch.zeros(6)
    found = {
        digest_of([("a", a), ("b", b)]),
        digest_of([("b", b), ("a", a)]),
        digest_of([("a", b), ("b", b)]),
        digest_of([("x", a), ("b", b)]),
        digest_of([("a", a.to(torch.int32)), ("b", b)]),
        digest_of([("a", a)]),
    }
    assert len(found) == 6


def test_every_seed_and_layer_has_its_own_weights():
    one, other = build(small_lenet(seed=0)).weights, build(small_lenet(seed=1)).weights
    assert not any(torch.equal(one[name], other[name]) for name in one)
    same_shape = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False))
    first, second = Backbone.from_module(same_shape, seed=0).weights.values()
    assert not torch.equal(first, second)
