import json
import math
from fractions import Fraction

import numpy as np
import pytest

from hopfield.descent import Schedule
from maskstore.errors import InvalidInput
from supsup import BackboneRecipe, TrainConfig
from supsup.baselines import BaselineConfig
from supsup.inference import Entropy
from supsup.inference.methods import Binary
from supsup.tasks import TaskRecipe
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
        ({"outlier_kind": "rotated"}, "outlier_kind: 'rotated' says what outliers are, and there"),
        ({"outliers": 0.1, "outlier_kind": "turned"}, "outlier_kind"),
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


NUMBERS = {
    "int": 1,
    "float64": np.float64(0.5),
    "float32": np.float32(0.25),
    "fraction": Fraction(1, 2),
}


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda x: TrainConfig(steps=10, lr=x).lr,
        lambda x: TrainConfig(steps=10, rule="topk", density=x).density,
        lambda x: TrainConfig(steps=10, weight_decay=x).weight_decay,
        lambda x: TrainConfig(steps=10, outliers=x).outliers,
        lambda x: BaselineConfig(steps=10, lr=x).lr,
        lambda x: BackboneRecipe(net="bn-2048", outputs=10, fan_density=x).fan_density,
        lambda x: Entropy(temperature=x).temperature,
        lambda x: Schedule(path=x).path,
    ],
)
def test_any_real_number_is_kept_as_a_float(unchecked, make, value):
    found = make(value)
    assert type(found) is float
    assert found == float(value)


@pytest.mark.parametrize("value", [10, np.int64(10), np.uint8(10)], ids=["int", "int64", "uint8"])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: TrainConfig(steps=n).steps,
        lambda n: TrainConfig(epochs=n).epochs,
        lambda n: TrainConfig(steps=1, batch=n).batch,
        lambda n: BaselineConfig(steps=n).steps,
        lambda n: BackboneRecipe(net="bn-2048", outputs=n).outputs,
        lambda n: BackboneRecipe(net="bn-2048", outputs=9, options={"width": n}).options["width"],
        lambda n: TaskRecipe(dataset="mine", rule="permuted", index=n).index,
        lambda n: Binary(base=n).base,
        lambda n: Schedule(steps=n).steps,
    ],
)
def test_any_whole_number_is_kept_as_an_int(unchecked, make, value):
    found = make(value)
    assert type(found) is int
    assert found == 10


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": True}, "steps: expected a whole number from 1, got True"),
        ({"steps": 2.0}, "steps: expected a whole number from 1, got 2.0"),
        ({"steps": 1, "lr": True}, "lr: expected a positive number, got True"),
        ({"steps": 1, "lr": np.bool_(True)}, "lr: expected a positive number"),
        ({"steps": 1, "lr": "0.1"}, "lr: expected a positive number, got '0.1'"),
        ({"steps": 1, "lr": 10**400}, "lr: expected a positive number"),
        ({"steps": 1, "density": True}, r"density: expected a number in \(0, 1\], got True"),
        ({"steps": 1, "momentum": False}, r"momentum: expected a number in \[0, 1\), got False"),
    ],
)
def test_what_is_no_number_is_refused(unchecked, fields, message):
    with pytest.raises(InvalidInput, match=message):
        TrainConfig(**fields)
