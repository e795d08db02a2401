import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskstore.errors import InvalidInput
from supsup import Backbone, build
from supsup.inference import Energy, Entropy, MaskBank, MaxProbability, Superfluous
from supsup.inference.query import Query
from supsup.inference.superposition import gradients, superposed
from tests.supsup.helpers import ConvNet, small_bn
from tests.supsup.inference.helpers import (
    brute_gradient,
    images,
    odd_net,
    random_masks,
    stacked,
)

pytestmark = pytest.mark.usefixtures("kernels")


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Within 1e-4 of the largest; float32 weights against float64."""
    return np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max() + 1e-12


@pytest.mark.parametrize("count", [1, 2, 9, 70])
def test_the_superposed_network_is_the_mean(count):
    backbone = odd_net()
    masks = random_masks(backbone, count)
    found = superposed(MaskBank(backbone, masks))
    for name, layers in stacked(backbone, masks).items():
        expected = backbone.weights[name] * layers.mean(0).float()
        torch.testing.assert_close(found[name], expected)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 6),
    st.sampled_from([Entropy(), Superfluous(), Energy(temperature=2.0), MaxProbability()]),
    st.integers(0, 1000),
)
def test_the_gradient_is_autograds(count, batch, objective, seed):
    backbone = odd_net()
    masks, x = random_masks(backbone, count, seed=seed), images(batch, seed=seed)
    bank = MaskBank(backbone, masks, classes=3)
    (found,) = gradients(Query(bank=bank, x=x, objective=objective, per_image=False))
    assert close(found, brute_gradient(backbone, x, masks, objective, 3))
    each = gradients(Query(bank=bank, x=x, objective=objective, per_image=True))
    for at, row in enumerate(each):
        assert close(row, brute_gradient(backbone, x[at : at + 1], masks, objective, 3))


def test_the_gradient_of_some_masks_is_at_their_own_mean():
    backbone = odd_net()
    masks, x, rows = random_masks(backbone, 30), images(4), np.array([3, 17, 4])
    found = gradients(
        Query(bank=MaskBank(backbone, masks), x=x, objective=Entropy(), per_image=False), rows=rows
    )
    assert close(found[0], brute_gradient(backbone, x, masks, Entropy(), 5, rows.tolist()))


def test_any_module():
    backbone = Backbone.from_module(ConvNet(outputs=5), seed=3, statistics="batch")
    masks, x = random_masks(backbone, 12), images(6, 1, 4, 4)
    bank = MaskBank(backbone, masks)
    found = gradients(Query(bank=bank, x=x, objective=Entropy(), per_image=False))[0]
    assert close(found, brute_gradient(backbone, x, masks, Entropy(), 5))
    # Its normalisation takes statistics of the batch, and one image's gradient has none.
    with pytest.raises(InvalidInput, match="gradients of one image at a time"):
        gradients(Query(bank=bank, x=x, objective=Entropy(), per_image=True))


def test_masks_on_neurons():
    backbone = build(small_bn())
    masks, x = random_masks(backbone, 12), images(8, 20)
    found = gradients(
        Query(bank=MaskBank(backbone, masks), x=x, objective=Entropy(), per_image=False)
    )[0]
    assert close(found, brute_gradient(backbone, x, masks, Entropy(), 4))
