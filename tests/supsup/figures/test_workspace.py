import json

import pytest

from maskstore.errors import ArchiveWriteError
from supsup import BackboneRecipe, TrainConfig
from supsup.figures import Workspace
from supsup.figures.workspace import write_json


def test_what_is_cached_is_made_once(tmp_path):
    workspace, made = Workspace(folder=tmp_path), []

    def make() -> list[int]:
        made.append(len(made))
        return made[-1:]

    assert workspace.cached("a", {"steps": 1, "counts": (2, 5)}, make) == [0]
    assert workspace.cached("a", {"steps": 1, "counts": (2, 5)}, make) == [0]
    assert workspace.cached("a", {"steps": 2, "counts": (2, 5)}, make) == [1]
    assert workspace.cached("b", {"steps": 2, "counts": (2, 5)}, make) == [2]
    text = (tmp_path / "a.json").read_text()
    for damaged in (text[:-5], "[]", "", json.dumps({"settings": {}})):
        (tmp_path / "a.json").write_text(damaged)
        assert workspace.cached("a", {"steps": 2, "counts": (2, 5)}, make) == [len(made) - 1]
    assert len(made) == 7
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json"}


def test_trainings_that_differ_have_archives_of_their_own(tmp_path):
    workspace = Workspace(folder=tmp_path)
    net = BackboneRecipe(net="lenet-300-100", outputs=10)
    configs = [
        TrainConfig(steps=5),
        TrainConfig(steps=6),
        TrainConfig(steps=5, seed=1),
        TrainConfig(steps=5, optimizer="adam"),
        TrainConfig(steps=5, transfer="masks"),
        TrainConfig(steps=5, rule="topk"),
        TrainConfig(steps=5, rule="topk", density=0.1),
        TrainConfig(steps=5, rule="topk", budget="erdos-renyi"),
    ]
    paths = {workspace.archive("split-mnist", net, config) for config in configs}
    wide = BackboneRecipe(net="lenet-300-100", outputs=20)
    paths |= {workspace.archive("split-mnist", wide, configs[0])}
    paths |= {workspace.archive("split-mnist-sample", net, configs[0])}
    assert len(paths) == len(configs) + 2


def test_json_that_cannot_be_written(tmp_path):
    with pytest.raises(ArchiveWriteError, match="cannot write"):
        write_json(tmp_path / "none" / "a.json", {})
