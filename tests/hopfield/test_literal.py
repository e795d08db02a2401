"""Eq. 6 to the letter, against a descent with torch's optimizer and autograd."""

import numpy as np
import pytest
import torch

from hopfield import Schedule, new_memory, recover_literally
from hopfield.literal import DECAY, GAMMA, MOMENTUM, RATE
from maskstore import InvalidInput
from tests.hopfield.helpers import matrix_of, patterns

SIZE = 40


def bowl(target):
    """An entropy that is least at a mask, and where it is depends on the batch a little."""
    wanted = (target + 1.0) / 2

    def entropy(mask, step):
        away = mask - wanted * (1 - 0.01 * (step % 3))
        return float(away @ away), 2 * away

    return entropy


def stored(count=3, form=None):
    z = patterns(2, count, SIZE)
    memory = new_memory("storkey", SIZE, form=form, blocks=(25, 15) if form == "blocks" else ())
    for each in z:
        memory.encode(each)
    return memory, z


@pytest.mark.parametrize("steps", [1, 5, 12])
def test_it_is_gradient_descent_on_eq_6(steps):
    """The loop of ``hopfield_recovery`` in the paper's ``adaptors.py``."""
    memory, z = stored(form="blocks")
    found = recover_literally(memory, bowl(z[1]), start=z.mean(0), steps=steps)
    w = torch.from_numpy(matrix_of(memory)).double()
    scores = torch.from_numpy(z.mean(0)).requires_grad_()
    optimizer = torch.optim.SGD([scores], lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    wanted = torch.from_numpy((z[1] + 1.0) / 2)
    for t in range(1, steps + 1):
        mask = (scores.detach() >= 0).double().requires_grad_()
        s = 2 * mask - 1
        away = mask - wanted * (1 - 0.01 * ((t - 1) % 3))
        loss = (1 - t / steps) * away @ away - GAMMA * (t / steps) * 0.5 * s @ w @ s
        (scores.grad,) = torch.autograd.grad(loss, mask)
        optimizer.step()
    np.testing.assert_array_equal(found.pattern, np.where(scores.detach() >= 0, 1, -1))
    assert (found.steps, found.restarts, len(found.candidates)) == (steps, 0, 1)
    assert found.batches == steps + Schedule().judging
    assert found.trajectory[0].pattern.tolist() == np.where(z.mean(0) >= 0, 1, -1).tolist()
    assert found.known is None


def test_what_is_stored_is_accepted_only_where_it_is_certain():
    memory, z = stored()
    for bar, known in ((1.0, True), (-1.0, False)):
        found = recover_literally(
            memory, bowl(z[0]), start=z.mean(0), steps=8, accept=lambda pattern, bar=bar: bar
        )
        assert found.known is known


def test_what_it_cannot_descend_on():
    memory, z = stored()
    start = z.mean(0)
    with pytest.raises(InvalidInput, match="steps: expected a whole number from 1, got 0"):
        recover_literally(memory, bowl(z[0]), start=start, steps=0)
    with pytest.raises(InvalidInput, match="the memory is empty"):
        recover_literally(new_memory("storkey", SIZE), bowl(z[0]), start=start, steps=3)
    modern = new_memory("modern", SIZE)
    modern.encode(z[0])
    with pytest.raises(InvalidInput, match="rule 'modern' is not quadratic; encode with"):
        recover_literally(modern, bowl(z[0]), start=start, steps=3)
