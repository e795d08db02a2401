from itertools import islice

import pytest
import torch

from supsup import TrainConfig
from supsup.datasets import load
from supsup.tasks import make_task, task_family
from supsup.tasks.joint_batches import can_join
from supsup.training.batches import batches_for

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", ["permuted-mnist-sample", "rotated-mnist-sample"])
def test_batches_of_all_tasks_are_those_of_each(family):
    digits = load("mnist-sample")
    tasks = [make_task(recipe, digits) for recipe in task_family(family, 3)]
    assert can_join(tasks)
    config = TrainConfig(steps=1, batch=100)
    together = list(islice(batches_for(tasks, config, CPU), 70))
    for at, task in enumerate(tasks):
        alone = islice(batches_for([task], config, CPU), 70)
        for (x, y), (all_x, all_y) in zip(alone, together, strict=True):
            assert torch.equal(x[0], all_x[at])
            assert torch.equal(y[0], all_y[at])


def test_tasks_of_other_images_are_not_joined():
    digits = load("mnist-sample")
    permuted, split, rotated = (
        [make_task(recipe, digits) for recipe in task_family(f"{rule}-mnist-sample", 2)]
        for rule in ("permuted", "split", "rotated")
    )
    assert not can_join(split)
    assert not can_join([permuted[0], rotated[1]])
    assert not can_join([object(), permuted[0]])
    assert not can_join([permuted[0], object()])
    x, y = next(batches_for(split, TrainConfig(steps=1, batch=8), CPU))
    assert (x.shape, y.shape) == ((2, 8, 784), (2, 8))
