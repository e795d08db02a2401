"""Tasks remade from what an archive keeps, whatever users keep there."""

import numpy as np
import pytest

from maskstore.errors import InvalidInput
from supsup import TrainConfig, build
from supsup.archives import create_archive, evaluate_archive, known_in, missing_tasks, tasks_of
from supsup.archives.tasks import accuracy_of, sources_of
from supsup.archives.training import tasks_in_step
from supsup.inference import Inference
from supsup.tasks import TaskRecipe
from tests.supsup.helpers import small_lenet

RECIPE = TaskRecipe(dataset="mnist-sample", rule="permuted", index=0)
JUNK = [None, True, 3, "cats", [1], {"a": 1}]


@pytest.fixture
def with_metadata(tmp_path):
    """Makes archives with one mask, under the name of the recipe, and those metadata."""
    opened = []

    def make(metadata):
        backbone = build(small_lenet(pixels=784))
        archive = create_archive(tmp_path / "a.h5", backbone)
        opened.append(archive)
        masks = {name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()}
        archive.add(RECIPE.name, masks, metadata)
        return archive, backbone

    yield make
    for archive in opened:
        archive.close()


@pytest.mark.parametrize("junk", JUNK, ids=repr)
@pytest.mark.parametrize("key", ["task", "training", "metrics", "energy", "sources", "together"])
def test_metadata_of_a_user_end_in_a_sentence(with_metadata, key, junk):
    archive, backbone = with_metadata({key: junk})
    for scenario in ("GG", "GNu", "NNs"):
        with pytest.raises(InvalidInput):
            evaluate_archive(archive, backbone, scenario=scenario)
    with pytest.raises(InvalidInput):
        next(tasks_of(archive))
    with pytest.raises(InvalidInput):
        missing_tasks(archive, [RECIPE], TrainConfig(steps=1), resume=True)
    with pytest.raises(InvalidInput):
        accuracy_of(archive, archive.task(RECIPE.name))
    assert tasks_in_step(archive) == (3 if (key, junk) == ("together", 3) else None)
    one = np.zeros(1)
    found = Inference(
        tasks=np.zeros(1, int),
        names=(RECIPE.name,),
        predictions=np.zeros(1, int),
        energy=one.astype(np.float32),
        confidence=one,
        margin=one,
        evidence=one[None],
        method="exhaustive",
        objective="entropy",
        reason="",
    )
    assert known_in(archive, found) == [None]


def test_what_training_keeps_is_found(with_metadata):
    other = TaskRecipe(dataset="mnist-sample", rule="permuted", index=1)
    sources = [
        {"name": each.name, "task": each.to_json(), "batches": 2} for each in (other, RECIPE)
    ]
    archive, _ = with_metadata(
        {"task": RECIPE.to_json(), "metrics": {"accuracy": 0.5}, "sources": sources}
    )
    stored = archive.task(RECIPE.name)
    assert sources_of(archive, stored) == [other, RECIPE]
    assert accuracy_of(archive, stored) == 0.5
