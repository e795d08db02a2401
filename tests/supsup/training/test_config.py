import json
import math

import pytest

from maskstore.errors import InvalidInput
from supsup import TrainConfig
from tests.supsup.helpers import as_users_run_it


def test_json_round_trip():
    config = TrainConfig(epochs=2, rule="topk", density=0.1, optimizer="sgd", seed=3)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": None}, "steps and epochs: expected exactly one"),
        ({"epochs": 1}, "steps and epochs: expected exactly one"),
        ({"steps": 0}, "steps: expected a whole number from 1"),
        ({"steps": 1.5}, "steps: expected a whole number from 1"),
        ({"batch": 0}, "batch: expected"),
        ({"outliers": 1.5}, "outliers: expected a share from 0 to 1"),
        ({"outliers": 0.001}, "outliers: 0.001 of a batch of 128 is less than one image"),
        ({"rule": "magnitude"}, "rule: expected one of threshold, topk"),
        ({"density": 1.5}, r"density: expected a number in \(0, 1\]"),
        ({"budget": "even"}, "budget: expected one of uniform, erdos-renyi"),
        ({"optimizer": "lion"}, "optimizer: expected one of adam, normed-sgd, rmsprop, sgd"),
        ({"lr": 0.0}, "lr: expected"),
        ({"lr": math.nan}, "lr: expected"),
        ({"lr": math.inf}, "lr: expected"),
        ({"schedule": "step"}, "schedule: expected one of constant, cosine"),
        ({"momentum": 1.0}, "momentum"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"seed": -3}, "seed"),
        ({"warmup": 3}, "field 'warmup' is unknown"),
    ],
)
def test_a_bad_field_is_named(change, message):
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        TrainConfig.from_json(TrainConfig(steps=10).to_json() | change)


def test_what_is_no_configuration_is_refused():
    with pytest.raises(InvalidInput, match="training configuration: expected an object"):
        TrainConfig.from_json(None)


def test_epochs_count_the_batch_that_ends_them():
    assert TrainConfig(epochs=1, batch=128).steps_for(12_665) == 99
    assert TrainConfig(epochs=2, batch=100).steps_for(1_000) == 20
    assert TrainConfig(steps=7).steps_for(1_000) == 7


def test_schedules():
    cosine = TrainConfig(steps=10, lr=0.2, schedule="cosine")
    assert [cosine.lr_at(step, 10) for step in (0, 5)] == pytest.approx([0.2, 0.1])
    assert cosine.lr_at(9, 10) == pytest.approx(0.2 * math.sin(math.pi / 20) ** 2)
    assert TrainConfig(steps=10, lr=0.2, schedule="constant").lr_at(9, 10) == 0.2
