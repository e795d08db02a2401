"""What is kept with a mask: as JSON and back, and whatever else a user keeps there."""

import json

import pytest

from maskstore.seeded.scores import ScoreStart
from supsup import TrainConfig, build, train
from supsup.inference.ood import EnergyThreshold
from supsup.tasks import TaskRecipe
from supsup.training.metadata import Source, TaskMetadata
from tests.supsup.helpers import Blobs, small_lenet

RECIPE = TaskRecipe(dataset="mnist", rule="permuted", index=3).to_json()
CONFIG = TrainConfig(steps=7).to_json()

WRITTEN = {
    "trained": {
        "task": RECIPE,
        "training": CONFIG,
        "scores": {"seed": 0, "stream": "scores"},
        "energy": {"mean": -3.0, "bar": -2.0},
        "earlier": 0,
        "together": 4,
        "metrics": {"accuracy": 0.5, "loss": 0.1, "density": 0.5, "steps": 7},
    },
    "of own data": {
        "task": None,
        "training": CONFIG,
        "scores": {"seed": 0, "stream": "scores/a"},
        "energy": {"mean": -3.0, "bar": -2.0},
    },
    "of a stream": {
        "task": RECIPE,
        "training": CONFIG,
        "scores": {"seed": 0, "stream": "scores"},
        "metrics": {"level": 0.25, "steps": 7},
        "sources": [
            {"name": "permuted-mnist/3", "task": RECIPE, "batches": 9},
            {"name": "own", "task": None, "batches": 1},
        ],
    },
    "of a stream that names nothing": {"task": None, "training": CONFIG, "sources": []},
}


@pytest.mark.parametrize("value", WRITTEN.values(), ids=WRITTEN.keys())
def test_the_same_bytes_after_a_round_trip(value):
    # The order of keys is part of the bytes that an archive stores.
    assert json.dumps(TaskMetadata.from_json(value).to_json()) == json.dumps(value)


def test_its_fields_are_typed():
    found = TaskMetadata.from_json(WRITTEN["trained"])
    assert found.scores == ScoreStart(seed=0)
    assert found.energy == EnergyThreshold(mean=-3.0, bar=-2.0)
    assert (found.accuracy, found.rows, found.earlier) == (0.5, 4, 0)
    assert TaskMetadata.from_json(WRITTEN["of a stream"]).sources == (
        Source(name="permuted-mnist/3", task=RECIPE, batches=9),
        Source(name="own", task=None, batches=1),
    )


def test_training_writes_it():
    (found,) = train(build(small_lenet()), [Blobs()], TrainConfig(steps=3))
    assert list(found.metadata) == ["task", "training", "scores", "energy", "classes", "data"]
    assert found.metadata["training"] == TrainConfig(steps=3).to_json()


JUNK = [None, True, -1, 0.5, "text", [1], {"unknown": 1}]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
@pytest.mark.parametrize("key", ["scores", "energy", "earlier", "together", "sources"])
def test_what_training_does_not_write_is_nothing_known(key, junk):
    assert TaskMetadata.from_json({key: junk}) == TaskMetadata()


@pytest.mark.parametrize("junk", JUNK[:-1], ids=repr)
@pytest.mark.parametrize("key", ["task", "training", "metrics"])
def test_what_is_no_object_is_nothing_known(key, junk):
    assert TaskMetadata.from_json({key: junk}) == TaskMetadata()


@pytest.mark.parametrize("junk", [*JUNK, {"accuracy": "high"}, {"accuracy": True}], ids=repr)
def test_an_accuracy_is_a_number(junk):
    assert TaskMetadata.from_json({"metrics": junk}).accuracy is None


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_one_source_that_is_none_leaves_all_unknown(junk):
    good = {"name": "a", "task": None, "batches": 1}
    assert TaskMetadata.from_json({"sources": [good]}).sources is not None
    assert TaskMetadata.from_json({"sources": [good, junk]}).sources is None


def test_keys_of_users_are_not_looked_at():
    assert TaskMetadata.from_json({"note": "by hand", "level": 3}) == TaskMetadata()
