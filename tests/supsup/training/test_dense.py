"""Training a network whole: beside a plain loop over the module itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maskstore.errors import InvalidInput
from supsup import Backbone, TrainConfig
from supsup.errors import TrainingDiverged
from supsup.tasks.order import batches
from supsup.training.batches import held_out_of
from supsup.training.dense import train_dense
from tests.supsup.helpers import Blobs

TASK = Blobs(name="first", classes=3)
CONFIG = TrainConfig(steps=25, batch=32, seed=4)


def module(*, norm: bool) -> nn.Module:
    # A shift before batch normalisation has no gradient but rounding, which Adam makes large.
    first = nn.Linear(20, 16, bias=not norm)
    layers = [first, *([nn.BatchNorm1d(16)] if norm else []), nn.ReLU(), nn.Linear(16, 5)]
    return nn.Sequential(*layers)


def plain_loop(net: nn.Module, lr: float) -> dict[str, torch.Tensor]:
    """What a user would write: the module itself in training mode, Adam, cross-entropy."""
    net.train()
    for each in net.parameters():
        each.requires_grad_()
    optimizer = torch.optim.Adam(net.parameters(), lr)
    held = held_out_of(TASK)
    order = batches(4, TASK.name, TASK.train_size, 32, TASK.device, held_out=held)
    for _ in range(25):
        x, y = TASK.train_batch(next(order))
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return {name: each.detach() for name, each in net.state_dict().items()}


@pytest.mark.parametrize(
    ("norm", "statistics"), [(False, "batch"), (True, "running"), (True, "batch")]
)
def test_it_is_a_plain_loop(norm, statistics):
    backbone = Backbone.from_module(module(norm=norm), seed=1, statistics=statistics)
    before = {name: each.clone() for name, each in backbone.module.state_dict().items()}
    found = train_dense(backbone, TASK, CONFIG, lr=1e-2)
    own = module(norm=norm)
    if statistics == "batch" and norm:
        own[1] = nn.BatchNorm1d(16, track_running_stats=False)
    own.load_state_dict(before)
    expected = plain_loop(own, 1e-2)
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        torch.testing.assert_close(found[name], each, msg=lambda text, name=name: f"{name}: {text}")
    for name, each in backbone.module.state_dict().items():  # it is never written to
        assert torch.equal(each, before[name])


def test_dropout_drops_and_the_seed_decides():
    net = nn.Sequential(nn.Linear(20, 16), nn.Dropout(0.5), nn.Linear(16, 5))
    backbone = Backbone.from_module(net, seed=1)
    first, again = (train_dense(backbone, TASK, CONFIG) for _ in range(2))
    other = train_dense(
        Backbone.from_module(nn.Sequential(net[0], nn.Dropout(0.0), net[2]), seed=1), TASK, CONFIG
    )
    assert torch.equal(first["0.weight"], again["0.weight"])
    assert not torch.equal(first["0.weight"], other["0.weight"])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"lr": 1e30}, TrainingDiverged, "lower its learning rate"),
        ({"lr": 0}, InvalidInput, "backbone lr: expected a positive number"),
        ({"task": Blobs(name="many", classes=9)}, InvalidInput, "has 9 classes but the backbone 5"),
    ],
)
def test_what_is_said_of_a_training_that_cannot_be(change, error, says):
    backbone = Backbone.from_module(module(norm=False), seed=1)
    given = {"task": TASK, "lr": 1e-3} | change
    with pytest.raises(error, match=says):
        train_dense(backbone, given.pop("task"), CONFIG, **given)
