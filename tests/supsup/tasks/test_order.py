from itertools import islice

import pytest
import torch

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import permutation
from supsup.tasks.order import batches, held_out_images

CPU = torch.device("cpu")


def test_batches_are_full_and_passes_follow_without_a_gap():
    taken = list(islice(batches(4, "t/0", 10, 4, CPU), 5))
    assert [len(b) for b in taken] == [4] * 5
    first, second = (permutation(4, f"order/t/0/{epoch}", 10).tolist() for epoch in (0, 1))
    assert torch.cat(taken).tolist() == first + second


@pytest.mark.parametrize("held_out", [1, 3, 9])
def test_what_is_held_out_is_in_no_batch_and_all_else_keeps_its_order(held_out):
    without = held_out_images(4, "t/0", 10, held_out).tolist()
    passes = [permutation(4, f"order/t/0/{epoch}", 10).tolist() for epoch in range(4)]
    assert without == passes[0][10 - held_out :]
    expected = [image for order in passes for image in order if image not in without]
    taken = list(islice(batches(4, "t/0", 10, 2, CPU, held_out=held_out), len(expected) // 2))
    assert torch.cat(taken).tolist() == expected[: len(expected) // 2 * 2]
    # A training that does not get to them is the same with all images.
    assert expected[: 10 - held_out] == passes[0][: 10 - held_out]


def test_a_batch_may_be_larger_than_the_task():
    (batch,) = islice(batches(0, "t", 3, 8, CPU), 1)
    assert len(batch) == 8
    assert sorted(batch[:6].tolist()) == [0, 0, 1, 1, 2, 2]


def test_tasks_and_seeds_have_their_own_order():
    orders = {
        tuple(next(batches(seed, name, 50, 50, CPU)).tolist())
        for seed, name in ((0, "a"), (1, "a"), (0, "b"))
    }
    assert len(orders) == 3


def test_no_images():
    with pytest.raises(InvalidInput, match="'t': no training images"):
        next(batches(0, "t", 0, 4, CPU))
    with pytest.raises(InvalidInput, match="'t': no training images"):
        next(batches(0, "t", 3, 4, CPU, held_out=3))
