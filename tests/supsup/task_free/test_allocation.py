import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskstore.errors import InvalidInput
from supsup.inference import Entropy, MaskBank, Superfluous
from supsup.task_free import ALLOCATIONS, Level, Uniform, parse_allocation
from supsup.task_free.allocation.level import SCREENED
from tests.supsup.inference.helpers import (
    brute_gradient,
    brute_logits,
    images,
    odd_net,
    random_masks,
)


def case(count):
    backbone = odd_net()
    masks, x = random_masks(backbone, count), images(12)
    y = torch.arange(12) % 3
    return backbone, masks, MaskBank(backbone, masks, classes=3), x, y


def brute_losses(backbone, masks, x, y):
    return np.array([float(F.cross_entropy(z, y)) for z in brute_logits(backbone, x, masks)])


@pytest.mark.parametrize("count", [1, 2, 7, 40])
@pytest.mark.parametrize("affordable", [True, False])
def test_level_takes_the_lowest_loss(count, affordable, monkeypatch):
    backbone, masks, bank, x, _ = case(count)
    x = 4 * x
    listed = np.arange(count)
    if not affordable:
        monkeypatch.setattr(sys.modules["supsup.inference.auto"], "EXHAUSTIVE_BYTES", 0)
        slopes = brute_gradient(backbone, x, masks, Superfluous(), 3)
        listed = np.delete(np.argsort(slopes), slice(16, count - 16)) if count > 32 else listed
    y = brute_logits(backbone, x, masks)[listed[-1]].argmax(1)  # one of them labels it well
    losses = brute_losses(backbone, masks, x, y)
    best = min(listed, key=losses.__getitem__)
    low = np.full(count, 0.01)
    rule = Level(share=0.5)
    assert rule.judge(bank, low, x, y).mask == best
    # The bar is half-way between the mask's level and ln 3.
    reached = 2 * losses[best] - math.log(3)
    assert reached < math.log(3)
    for level, known in ((reached + 1e-3, True), (reached - 1e-3, False)):
        levels = low.copy()
        levels[best] = level
        assert rule.judge(bank, levels, x, y).known is known


@pytest.mark.parametrize("owner", [0, 117, 199])
def test_screening_keeps_the_lowest_loss(owner):
    count = 200
    backbone, masks, bank, x, _ = case(count)
    x = 4 * x
    y = brute_logits(backbone, x, masks)[owner].argmax(1)
    losses = brute_losses(backbone, masks, x, y)
    asked = []
    bank.progress = lambda _, done, of: asked.append(of) if done == of else None
    verdict = Level().judge(bank, np.full(count, losses.min()), x, y)
    assert verdict.mask == losses.argmin()
    assert verdict.known
    assert asked == [count, SCREENED]


def test_level_of_a_mask_that_knows_nothing():
    *_, bank, x, y = case(1)
    assert not Level().judge(bank, np.array([5.0]), x, y).known


def test_doubts_are_for_ripe_masks():
    rule = Level(share=0.5)
    guess = math.log(10)
    assert rule.ripe(guess / 2, 10)
    assert not rule.ripe(guess / 2 + 0.01, 10)
    assert not rule.ripe(math.nan, 10)
    assert rule.doubts(guess * 0.55 + 0.01, guess * 0.1, 10)
    assert not rule.doubts(guess * 0.55 - 0.01, guess * 0.1, 10)
    assert not rule.doubts(100.0, guess, 10)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_uniform_is_the_softmax_of_the_gradient(count):
    backbone, masks, bank, x, y = case(count)
    slopes = brute_gradient(backbone, x, masks, Entropy(), 3)
    v = np.exp(-slopes) / np.exp(-slopes).sum()
    levels = np.zeros(count)
    top = v.max() * count
    verdict = Uniform(ratio=top + 1e-3).judge(bank, levels, x, y)
    assert verdict.mask == v.argmax()
    assert not verdict.known
    if top > 1.0:
        assert Uniform(ratio=1 + (top - 1) * 0.99).judge(bank, levels, x, y).known


def test_uniform_takes_no_mask_that_has_not_begun_for_known():
    backbone, masks, bank, x, y = case(5)
    slopes = brute_gradient(backbone, x, masks, Entropy(), 3)
    best = int(slopes.argmin())
    rule = Uniform(ratio=1 + 1e-9)
    for begun in range(1, 6):
        verdict = rule.judge(bank, np.zeros(begun), x, y)
        assert verdict.known is (best < begun)
        assert verdict.mask == min(best, begun - 1)


def test_names_and_settings():
    assert {name: type(parse_allocation(name)) for name in ALLOCATIONS} == dict(ALLOCATIONS)
    with pytest.raises(InvalidInput, match="one of level, prototypes, uniform, got 'magic'"):
        parse_allocation("magic")
    for bad in (0.0, 1.0):
        with pytest.raises(InvalidInput, match="share"):
            Level(share=bad)
    with pytest.raises(InvalidInput, match="ratio"):
        Uniform(ratio=1.0)
    with pytest.raises(InvalidInput, match="floor: expected a whole number from 1"):
        Uniform(floor=0)
    assert (Level().least, Uniform().least) == (1, 5)
    assert (Level().confirm, Uniform().confirm) == (3, 1)
