from dataclasses import replace
from itertools import islice

import pytest
import torch

from supsup import LoaderTask, TrainConfig
from supsup.datasets import load
from supsup.tasks import make_task, task_family
from supsup.tasks.joint_batches import can_join
from supsup.tasks.order import held_out_images
from supsup.training.batches import batches_for, held_out_of
from tests.supsup.helpers import Blobs

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
    recipe = replace(rotated[1].recipe, options={"sampling": "nearest"})  # one tap, as permuted
    assert not can_join([permuted[0], make_task(recipe, digits)])
    assert not can_join([object(), permuted[0]])
    assert not can_join([permuted[0], object()])
    x, y = next(batches_for(split, TrainConfig(steps=1, batch=8), CPU))
    assert (x.shape, y.shape) == ((2, 8, 784), (2, 8))


@pytest.mark.parametrize(
    ("images", "held_out"), [(9, 0), (199, 0), (200, 20), (300, 30), (5000, 500), (60_000, 500)]
)
def test_how_many_images_are_kept_from_training(images, held_out):
    assert held_out_of(Blobs(train=images, test=1, pixels=2)) == held_out


def test_a_loader_chooses_its_images_itself():
    data = [(torch.zeros(100, 2), torch.zeros(100, dtype=torch.int64))] * 3
    assert held_out_of(LoaderTask("mine", train=data, test=data, classes=2)) == 0


@pytest.mark.parametrize("count", [1, 2])
def test_training_sees_every_image_but_those_held_out(count):
    """By their labels, which are made to be the images' numbers."""
    digits = load("mnist-sample")
    recipes = task_family("permuted-mnist-sample", count)
    numbers = torch.arange(len(digits.train_labels))
    tasks = [replace(make_task(recipe, digits), train_y=numbers) for recipe in recipes]
    config = TrainConfig(steps=1, batch=100, seed=3)
    steps = 2 * tasks[0].train_size // 100
    seen = torch.cat([y for _, y in islice(batches_for(tasks, config, CPU), steps)], dim=1)
    for at, task in enumerate(tasks):
        held = held_out_images(3, task.name, task.train_size, held_out_of(task)).tolist()
        assert len(held) == min(task.train_size // 10, 500)
        assert set(seen[at].tolist()) == set(range(task.train_size)) - set(held)
