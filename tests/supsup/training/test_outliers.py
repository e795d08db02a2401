"""Outliers: shuffled and turned images under superfluous labels."""

from dataclasses import replace

import pytest
import torch

from maskstore.errors import InvalidInput
from supsup import TrainConfig, build, train
from supsup.training.outliers import Outliers
from tests.supsup.helpers import Blobs, as_users_run_it, small_lenet

TASKS = [Blobs(name=f"blobs/{at}", pixels=16) for at in range(2)]
CONFIG = TrainConfig(steps=1, batch=32, outliers=0.25)
OUTPUTS = 7


def batch_of(tasks):
    pairs = [task.train_batch(torch.arange(32)) for task in tasks]
    return torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs])


def outliers(tasks, config=CONFIG, outputs=OUTPUTS):
    backbone = build(small_lenet(pixels=16, outputs=outputs))
    return Outliers(tasks, config, backbone, outputs)


def joined(step, tasks=TASKS):
    return outliers(tasks).join(step, *batch_of(tasks))


def test_the_batch_stays_and_shuffled_images_with_superfluous_labels_follow():
    x, y = batch_of(TASKS)
    more_x, more_y = joined(0)
    assert more_x.shape == (2, 40, *x.shape[2:])
    assert torch.equal(more_x[:, :32], x)
    assert torch.equal(more_y[:, :32], y)
    shuffled, whole = more_x[:, 32:].flatten(2), x[:, :8].flatten(2)
    assert torch.equal(shuffled.sort(dim=2).values, whole.sort(dim=2).values)
    assert not (shuffled == whole).all(dim=2).any()
    labels = torch.cat([joined(step)[1][:, 32:].flatten() for step in range(20)])
    assert set(labels.tolist()) == set(range(TASKS[0].classes, OUTPUTS))


def test_they_depend_on_task_and_step_and_not_on_company():
    (x, y), (other_x, _), (later_x, _) = joined(3), joined(3, TASKS[1:]), joined(4)
    assert torch.equal(x[1:], other_x)
    assert not torch.equal(x[:, 32:], later_x[:, 32:])
    first, second = (outliers([task]).join(0, x[:1], y[:1]) for task in TASKS)
    assert not torch.equal(first[0][:, 40:], second[0][:, 40:])


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (16,)])
def test_turned_images_are_further_classes(shape):
    config = replace(CONFIG, outlier_kind="rotated")
    x, y = batch_of(TASKS)
    made = outliers(TASKS, config, 8)
    turns = []
    for step in range(5):
        more_x, more_y = made.join(step, x.reshape(2, 32, *shape), y)
        assert more_x.shape == (2, 40, *shape)
        assert torch.equal(more_x[:, :32].reshape(x.shape), x)
        for task in range(2):
            for at in range(8):
                turn, label = divmod(int(more_y[task, 32 + at]), 2)
                assert label == y[task, at]
                image = x[task, at].reshape(4, 4).rot90(turn)
                assert torch.equal(more_x[task, 32 + at].reshape(4, 4), image)
                turns.append(turn)
    assert set(turns) == {1, 2, 3}


@pytest.mark.parametrize("shape", [(8, 32), (2, 128), (255,), (8,)])
def test_what_is_no_square_image_is_not_turned(shape):
    x = torch.zeros((2, 32, *shape), dtype=torch.float32, device="cpu")
    made = outliers(TASKS, replace(CONFIG, outlier_kind="rotated"), 8)
    with pytest.raises(InvalidInput, match=r"rotated ones are of square images, got inputs"):
        made.join(0, x, batch_of(TASKS)[1])


def test_turned_images_take_four_outputs_a_class():
    config = replace(CONFIG, outlier_kind="rotated")
    with as_users_run_it(), pytest.raises(InvalidInput, match="use a network of 8 or more"):
        outliers(TASKS, config, 7)


def test_a_network_without_superfluous_outputs_is_refused():
    with as_users_run_it(), pytest.raises(InvalidInput, match="2 classes and the network 2 out"):
        outliers(TASKS, CONFIG, TASKS[0].classes)


def test_a_mask_trained_with_them_is_in_doubt_about_shuffled_images():
    backbone = build(small_lenet(pixels=16, outputs=OUTPUTS))
    entropies = []
    for outliers in (0.0, 0.25):
        config = TrainConfig(steps=150, batch=32, outliers=outliers)
        (trained,) = train(backbone, TASKS[:1], config)
        x = TASKS[0].train_batch(torch.arange(64))[0].flatten(1)
        order = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
        with torch.no_grad():
            logits = backbone.logits(x.gather(1, order), backbone.tensors(trained.masks))
        found = torch.distributions.Categorical(logits=logits).entropy().mean()
        entropies.append(float(found))
        assert trained.metrics["accuracy"] > 0.9
    assert entropies[1] > entropies[0] + 0.3
