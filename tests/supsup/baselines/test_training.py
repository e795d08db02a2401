import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from maskstore.errors import InvalidInput
from supsup import TensorTask
from supsup.baselines import BaselineConfig, UpperBound
from supsup.tasks.order import batches
from tests.supsup.baselines.helpers import blobs, small_net

OPTIMIZERS = {
    "adam": lambda weights: torch.optim.Adam(weights, 1e-2),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, 1e-2),
    "sgd": lambda weights: torch.optim.SGD(weights, 1e-2, momentum=0.9),
}


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_is_the_plain_training_of_a_module(optimizer, schedule):
    """Beside a loop as anybody would write it, over the same start and the same order."""
    task = blobs(1)[0]
    config = BaselineConfig(steps=30, batch=16, optimizer=optimizer, lr=1e-2, schedule=schedule)
    baseline = UpperBound(small_net(), config)
    told = baseline.learn(task)

    start = UpperBound(small_net(), BaselineConfig(steps=1, batch=16, lr=1e-30))
    start.learn(task)  # moves nothing: where training begins
    module = nn.Sequential(
        nn.Linear(20, 30, bias=False), nn.ReLU(), nn.Linear(30, 10, bias=False), nn.ReLU(),
        nn.Linear(10, 4, bias=False),
    )  # fmt: skip
    first = {**start.trunks[task.name], **start.heads[task.name]}
    for layer, name in ((0, "fc1"), (2, "fc2"), (4, "fc3")):
        module[layer].weight.data.copy_(first[f"{name}.weight"])
    step = OPTIMIZERS[optimizer](module.parameters())
    rate = (
        torch.optim.lr_scheduler.CosineAnnealingLR(step, 30)
        if schedule == "cosine"
        else torch.optim.lr_scheduler.ConstantLR(step, 1.0)
    )
    losses = []
    order = batches(0, task.name, task.train_size, 16, task.device)
    for _, indices in zip(range(30), order, strict=False):
        step.zero_grad()
        loss = cross_entropy(module(task.x[indices]), task.y[indices])
        loss.backward()
        step.step()
        rate.step()
        losses.append(loss.item())
    np.testing.assert_allclose(told, np.mean(losses), rtol=1e-5)
    torch.testing.assert_close(
        baseline.logits(task.name, task.x), module(task.x).detach(), rtol=1e-3, atol=1e-4
    )


def test_epochs_are_passes_over_the_training_set():
    task = blobs(1)[0]  # 300 images: 19 batches of 16
    one = UpperBound(small_net(), BaselineConfig(epochs=1, batch=16))
    same = UpperBound(small_net(), BaselineConfig(steps=19, batch=16))
    one.learn(task)
    same.learn(task)
    assert torch.equal(one.logits(task.name, task.x), same.logits(task.name, task.x))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "steps and epochs: expected exactly one"),
        ({"steps": 1, "epochs": 1}, "steps and epochs: expected exactly one"),
        ({"steps": 0}, "steps: expected a whole number from 1, got 0"),
        ({"steps": 1, "batch": 0}, "batch: expected a whole number from 1, got 0"),
        ({"steps": 1, "optimizer": "lbfgs"}, "optimizer: expected one of adam, rmsprop, sgd"),
        ({"steps": 1, "schedule": "linear"}, "schedule: expected one of constant, cosine"),
        ({"steps": 1, "lr": 0.0}, "lr: expected a positive number, got 0.0"),
        ({"steps": 1, "lr": float("nan")}, "lr: expected a positive number, got nan"),
        ({"steps": 1, "seed": -1}, "seed: expected a whole number"),
    ],
)
def test_a_configuration_checks_itself(fields, message):
    with pytest.raises(InvalidInput, match=message):
        BaselineConfig(**fields)


def test_a_rate_comes_with_the_optimizer():
    rates = {name: BaselineConfig(steps=1, optimizer=name).rate for name in OPTIMIZERS}
    assert rates == {"adam": 1e-3, "rmsprop": 1e-4, "sgd": 0.05}


def test_a_task_of_tensors_is_a_task():
    task = blobs(1)[0]
    own = TensorTask(task.name, train=(task.x[:300], task.y[:300]), test=(task.x, task.y))
    one, other = (UpperBound(small_net(), BaselineConfig(steps=5)) for _ in range(2))
    assert one.learn(task) == other.learn(own)
