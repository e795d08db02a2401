"""Inference over chains of linear layers against the network's own forward, a mask at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from maskstore.errors import InvalidInput
from supsup import Backbone
from supsup.inference import Entropy, Exhaustive, MaskBank, Superfluous, infer_in
from supsup.inference.kernels import CpuKernels
from supsup.inference.methods import parse_method
from supsup.inference.query import Query
from supsup.inference.superposition import gradients
from tests.supsup.helpers import sequential_net
from tests.supsup.inference.helpers import (
    BY_MASKS,
    brute_gradient,
    brute_logits,
    images,
    odd_net,
    random_masks,
)

pytestmark = pytest.mark.usefixtures("kernels")

NETS = {
    "Mlp": odd_net,
    "Sequential": lambda: sequential_net(biases=False, widths=(13, 11, 7, 5)),
    "Sequential with biases": lambda: sequential_net(biases=True, widths=(13, 11, 7, 5)),
    "no Flatten": lambda: sequential_net(biases=True, widths=(13, 9, 5), flatten=False),
    "one layer": lambda: sequential_net(biases=True, widths=(13, 5)),
}


@pytest.fixture(params=NETS.values(), ids=NETS.keys())
def backbone(request):
    """One of the chains."""
    return request.param()


def without_forward(backbone: Backbone, patch: pytest.MonkeyPatch) -> None:
    def run(x, weights):
        raise AssertionError("the network's own forward")

    patch.setattr(backbone, "run", run)


@pytest.mark.parametrize("density", [0.05, 0.5])
@pytest.mark.parametrize("batch", [1, 7])
def test_exhaustive(backbone, density, batch, monkeypatch, kernels):
    masks, x = random_masks(backbone, 20, density=density), images(batch)
    expected = Entropy()(brute_logits(backbone, x, masks), 5)
    bank = MaskBank(backbone, masks, classes=3)
    assert (bank.sparse is not None) == (density < 0.1 and kernels is CpuKernels)
    without_forward(backbone, monkeypatch)
    found = Exhaustive().evidence(Query(bank=bank, x=x, objective=Entropy(), per_image=True))
    np.testing.assert_allclose(found, -expected.T.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", [Entropy(), Superfluous()])
def test_gradients_of_single_images(backbone, objective, monkeypatch):
    masks, x = random_masks(backbone, 20), images(6)
    bank = MaskBank(backbone, masks, classes=3)
    monkeypatch.setattr("torch.func.vmap", None)  # what any other module goes through
    each = gradients(Query(bank=bank, x=x, objective=objective, per_image=True))
    for at, row in enumerate(each):
        expected = brute_gradient(backbone, x[at : at + 1], masks, objective, 3)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", BY_MASKS)
def test_predictions_are_those_of_the_network(backbone, method):
    masks, x = random_masks(backbone, 12), images(9)
    bank = MaskBank(backbone, masks, classes=3)
    found = infer_in(bank, x, method=method)
    logits = brute_logits(backbone, x, masks)[..., :3]
    for at, task in enumerate(found.tasks):
        assert found.predictions[at] == int(logits[task, at].argmax())


def test_any_shape_of_image_where_it_is_flattened():
    backbone = sequential_net(biases=True, widths=(12, 9, 5))
    masks, x = random_masks(backbone, 12), images(6, 1, 3, 4)
    bank = MaskBank(backbone, masks)
    for method in BY_MASKS:
        row, same = (
            parse_method(method).evidence(
                Query(bank=bank, x=data, objective=Entropy(), per_image=True)
            )
            for data in (x, x.flatten(1))
        )
        np.testing.assert_allclose(row, same)


def test_the_network_itself_refuses_what_it_does_not_take():
    backbone = sequential_net(biases=True, widths=(12, 9, 5), flatten=False)
    bank = MaskBank(backbone, random_masks(backbone, 4))
    for x in (images(6, 11), images(6, 3, 4)):
        with pytest.raises(InvalidInput, match="the network does not take it"):
            infer_in(bank, x)


def test_a_lookalike_runs_its_own_forward():
    network = nn.Sequential(nn.Linear(13, 9), nn.ReLU(), nn.Linear(9, 5))
    network[1].register_forward_hook(
        lambda module, inputs, output: output - 0.5 * torch.sign(output)
    )
    backbone = Backbone.from_module(network, seed=0)
    masks, x = random_masks(backbone, 12, density=0.05), images(6)
    bank = MaskBank(backbone, masks)
    assert bank.sparse is None
    found = Exhaustive().evidence(Query(bank=bank, x=x, objective=Entropy(), per_image=True))
    expected = Entropy()(brute_logits(backbone, x, masks), 5)
    np.testing.assert_allclose(found, -expected.T.numpy(), rtol=1e-4, atol=1e-5)
