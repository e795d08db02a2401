"""Mask rules against references derived by hand."""

import math

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.masking import Threshold, TopK
from supsup.masking.topk import largest


def masked_layer_gradient(
    x: torch.Tensor, w: torch.Tensor, mask: torch.Tensor, upstream: torch.Tensor
) -> torch.Tensor:
    """∂L/∂M of L = Σ upstream · (x (W ⊙ M)ᵀ), by hand: W[o, i] Σ_b upstream[b, o] x[b, i]."""
    expected = torch.zeros_like(w)
    for o in range(w.shape[0]):
        for i in range(w.shape[1]):
            expected[o, i] = w[o, i] * sum(
                float(upstream[b, o]) * float(x[b, i]) for b in range(x.shape[0])
            )
    return expected


@pytest.fixture
def layer() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    make = torch.Generator().manual_seed(0)
    x, w = torch.randn(3, 5, generator=make), torch.randn(4, 5, generator=make)
    return x, w, torch.randn(3, 4, generator=make), torch.randn(4, 5, generator=make)


def test_threshold_gradient_is_straight_through(layer):
    x, w, upstream, start = layer
    scores = start.clone().requires_grad_()
    mask = Threshold().relax("w", scores)
    ((x @ (w * mask).T) * upstream).sum().backward()
    torch.testing.assert_close(scores.grad, masked_layer_gradient(x, w, mask, upstream))


def test_topk_gradient_goes_through_the_absolute_value(layer):
    x, w, upstream, start = layer
    scores = start.clone().requires_grad_()
    mask = TopK({"w": 7}).relax("w", scores)
    ((x @ (w * mask).T) * upstream).sum().backward()
    by_mask = masked_layer_gradient(x, w, mask, upstream)
    torch.testing.assert_close(scores.grad, torch.sign(start) * by_mask)
    # Weights that are off learn too: that is what lets them return.
    assert (scores.grad[mask == 0] != 0).all()


def test_two_steps_by_hand():
    """One weight, L = (w m x - y)² / 2, SGD: the scores of two steps in closed form."""
    w, x, y, lr = 2.0, 3.0, 1.0, 0.1
    score = torch.tensor([[0.5]], requires_grad=True)
    by_hand = 0.5
    for _ in range(2):
        mask = Threshold().relax("w", score)
        (0.5 * (w * mask * x - y) ** 2).sum().backward()
        m = 1.0 if by_hand >= 0 else 0.0
        by_hand -= lr * (w * m * x - y) * w * x
        with torch.no_grad():
            score -= lr * score.grad
        score.grad = None
    assert score.item() == pytest.approx(by_hand)
    assert by_hand == pytest.approx(0.5 - 3.0 + 0.6)


def test_threshold_keeps_zero_and_negative_zero():
    scores = torch.tensor([-1.0, -0.0, 0.0, 1e-30, -1e-30])
    assert Threshold().select("w", scores).tolist() == [False, True, True, True, False]


def by_sorting(values: np.ndarray, k: int) -> np.ndarray:
    order = sorted(range(values.size), key=lambda i: (-values.flat[i], i))
    chosen = np.zeros(values.size, bool)
    chosen[order[:k]] = True
    return chosen.reshape(values.shape)


@pytest.mark.parametrize("distinct", [1, 2, 5, 1000])
def test_largest_is_exact_with_ties_to_the_first(distinct):
    draw = np.random.default_rng(distinct)
    values = draw.integers(0, distinct, (6, 7)).astype(np.float32)
    for k in range(1, values.size + 1):
        chosen = largest(torch.from_numpy(values), k).numpy()
        np.testing.assert_array_equal(chosen, by_sorting(values, k))


def test_topk_ranks_by_size_not_by_sign():
    scores = torch.tensor([0.1, -5.0, 3.0, -0.2])
    assert TopK({"w": 2}).select("w", scores).tolist() == [False, True, True, False]


@pytest.mark.parametrize("rule", [Threshold(), TopK({"a": 3, "b": 1})])
def test_relaxed_and_selected_masks_are_the_same(rule):
    scores = {"a": torch.randn(4, 2), "b": torch.randn(5)}
    masks = rule.masks(scores)
    for name, layer in scores.items():
        assert masks[name].dtype == np.bool_
        np.testing.assert_array_equal(rule.relax(name, layer).numpy(), masks[name])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", [Threshold(), TopK({"a": 2})])
def test_scores_that_are_no_numbers_are_refused(rule, bad):
    with pytest.raises(InvalidInput, match="layer 'a': 1 of 3 are NaN or infinite"):
        rule.masks({"a": torch.tensor([1.0, bad, 2.0])})
