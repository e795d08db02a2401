import math

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.inference import (
    OBJECTIVES,
    Energy,
    Entropy,
    MaskBank,
    MaxProbability,
    Objective,
    OneShot,
    PaperG,
    Query,
    Superfluous,
)
from supsup.inference.objectives import parse_objective
from tests.supsup.inference.helpers import brute_gradient, images, odd_net, random_masks


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4


def test_entropy_is_that_of_torch():
    z = logits(6, 9)
    expected = torch.distributions.Categorical(logits=z / 2).entropy()
    torch.testing.assert_close(Entropy(temperature=2.0)(z, 9), expected)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 2, 500), (1, 130, 7), (5, 128, 64)])
def test_entropy_in_one_pass_is_that_in_several(shape):
    z = logits(*shape)
    expected = Entropy(temperature=1.5)(z, 1)
    with torch.no_grad():
        for given in (z.float(), z.float().transpose(1, 2).contiguous().transpose(1, 2)):
            found = Entropy(temperature=1.5)(given, 1)
            torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_entropy_in_one_pass_of_extremes():
    rows = [[0.0, -1e30], [1e4, 1e4], [math.nan, 0.0], [math.inf, 0.0], [-math.inf, 0.0], [88, 0]]
    z = torch.tensor(rows)
    with torch.no_grad():
        found = Entropy()(z[None], 2)[0]
    assert found[1] == pytest.approx(math.log(2))
    assert found[2].isnan()
    assert found[3].isnan()
    assert all(0 <= found[at] < 1e-30 for at in (0, 4, 5))


def test_entropy_of_certain_and_of_uniform_answers():
    assert Entropy()(torch.tensor([[1e4, 0.0, 0.0]]), 3).item() == 0.0
    assert Entropy()(torch.zeros(1, 7), 7).item() == pytest.approx(math.log(7))
    z = torch.tensor([[1e4, 0.0, 0.0]], requires_grad=True)
    Entropy()(z, 3).sum().backward()
    assert torch.isfinite(z.grad).all()


def test_superfluous_looks_at_the_extra_outputs_only():
    z = logits(3, 8).requires_grad_()
    value = Superfluous()(z, 5)
    torch.testing.assert_close(value, z[:, 5:].exp().sum(1).log())
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert (slope[:, :5] == 0).all()
    assert (slope[:, 5:] > 0).all()


def test_superfluous_has_the_papers_gradient_up_to_a_factor_per_image():
    z = logits(3, 8).requires_grad_()
    extra = torch.arange(8) >= 5
    paper = torch.where(extra, z, z.detach()).logsumexp(1)
    (theirs,) = torch.autograd.grad(paper.sum(), z)
    (ours,) = torch.autograd.grad(Superfluous()(z, 5).sum(), z)
    factor = ours[:, 5:] / theirs[:, 5:]
    assert (factor > 0).all()
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))


def test_g_of_the_papers_code():
    """``se_oneshot_g_minimization`` of its ``adaptors.py``, value and gradient of a batch."""
    z = logits(3, 8).requires_grad_()
    m = (torch.arange(8) < 5).to(z.dtype)[None]
    theirs = ((z * m).detach() + z * (1 - m)).logsumexp(1).mean()
    ours = PaperG()(z, 5).mean()
    torch.testing.assert_close(ours, theirs)
    (expected,), (found,) = (torch.autograd.grad(each, z) for each in (theirs, ours))
    torch.testing.assert_close(found, expected)
    assert (found[:, :5] == 0).all()


def test_both_g_find_the_same_task_of_one_image_and_need_not_of_a_batch():
    backbone, masks = odd_net(), random_masks(odd_net(), 40)
    bank, x = MaskBank(backbone, masks, classes=2), 6 * images(30)

    def found(objective, per_image):
        query = Query(bank=bank, x=x, objective=objective, per_image=per_image)
        return OneShot().evidence(query)

    singles = [found(objective, True).argmax(1) for objective in (Superfluous(), PaperG())]
    np.testing.assert_array_equal(*singles)
    ours, paper = (found(objective, False)[0] for objective in (Superfluous(), PaperG()))
    slopes = brute_gradient(backbone, x, masks, PaperG(), 2)
    np.testing.assert_allclose(paper, -slopes, rtol=1e-3, atol=1e-6)
    assert np.corrcoef(ours, paper)[0, 1] < 0.9999  # not one times a number


def test_energy_and_probability():
    z = logits(4, 6)
    torch.testing.assert_close(
        Energy(temperature=3.0)(z, 4), -3 * (z[:, :4] / 3).exp().sum(1).log()
    )
    torch.testing.assert_close(MaxProbability()(z, 4), -z.softmax(1).max(1).values)


@pytest.mark.parametrize("kind", OBJECTIVES.values())
def test_any_number_of_leading_axes(kind):
    z = logits(2, 3, 6)
    flat = kind()(z.view(6, 6), 4)
    torch.testing.assert_close(kind()(z, 4), flat.view(2, 3))


def test_no_superfluous_outputs():
    with pytest.raises(InvalidInput, match="4 outputs for 4 classes and none to spare"):
        Superfluous().check(4, 4)
    Superfluous().check(5, 4)
    with pytest.raises(InvalidInput, match="objective g: the network has 4 outputs"):
        PaperG().check(4, 4)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperatures_that_are_none(temperature):
    with pytest.raises(InvalidInput, match="temperature"):
        Entropy(temperature=temperature)


def test_names():
    assert all(kind.name == name for name, kind in OBJECTIVES.items())
    assert parse_objective("energy", 2.0) == Energy(temperature=2.0)
    given = Entropy()
    assert parse_objective(given) is given
    assert isinstance(given, Objective)
    with pytest.raises(InvalidInput, match="expected one of entropy, .* got 'h'"):
        parse_objective("h")
