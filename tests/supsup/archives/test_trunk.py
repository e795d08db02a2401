"""Masks over a network that was trained on one task, here."""

import os

import pytest
import torch

from maskstore import MaskArchive
from maskstore.errors import ArchiveExists, InvalidInput
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import backbone_of, open_or_create, train_into
from supsup.archives.trunk import train_trunk
from supsup.errors import TrainingDiverged
from supsup.networks.weights_file import read_weights
from tests.supsup.helpers import Blobs, small_lenet

CONFIG = TrainConfig(steps=40, optimizer="adam", lr=1e-3)
FIRST, SECOND = (Blobs(name=name, classes=4) for name in ("first", "second"))
NORMED = BackboneRecipe(net="tests.supsup.networks.trained_net:make_normed", outputs=4)


def test_masks_lie_over_it_and_the_file_gives_it_back(tmp_path):
    recipe = train_trunk(small_lenet(), FIRST, CONFIG, tmp_path / "a.trunk.safetensors", lr=1e-2)
    backbone = build(recipe)
    assert backbone.trained == set(dict(backbone.module.named_parameters()))
    x, y = next(FIRST.test_batches(1000))
    assert (backbone.run(x, {}).argmax(1) == y).float().mean() > 0.8  # it learnt the task
    with open_or_create(tmp_path / "a.h5", backbone, CONFIG) as archive:
        train_into(archive, backbone, [FIRST, SECOND], CONFIG)
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert backbone_of(archive).digest == backbone.digest


@pytest.mark.parametrize("statistics", ["running", "frozen"])
def test_running_statistics_are_learnt_with_it(tmp_path, statistics):
    from dataclasses import replace

    recipe = replace(NORMED, statistics=statistics)
    file = tmp_path / "t.safetensors"
    found = train_trunk(recipe, FIRST, CONFIG, file, allow_code=True)
    assert found.statistics == statistics
    stored = read_weights(file)
    assert stored["1.running_mean"].abs().max() > 0.01
    module = build(found, allow_code=True).module
    assert torch.equal(module.get_buffer("1.running_mean"), stored["1.running_mean"])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"file": "t.pt"}, InvalidInput, "expected a file that ends in .safetensors"),
        ({"file": "there.safetensors"}, ArchiveExists, "take it with --weights, or remove it"),
        ({"lr": 1e30}, TrainingDiverged, "lower its learning rate"),
        ({"task": Blobs(name="many", classes=9)}, InvalidInput, "9 classes but the backbone 4"),
    ],
)
def test_nothing_is_written_where_it_cannot_be_trained(tmp_path, change, error, says):
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    given = {"task": FIRST, "file": "t.safetensors", "lr": 1e-3} | change
    with pytest.raises(error, match=says):
        train_trunk(small_lenet(), given["task"], CONFIG, tmp_path / given["file"], lr=given["lr"])
    assert os.listdir(tmp_path) == ["there.safetensors"]
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"
