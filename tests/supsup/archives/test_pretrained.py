import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from maskstore import MaskArchive
from maskstore.errors import DigestMismatch, InvalidInput, LayoutMismatch
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import backbone_of, evaluate_archive, open_or_create, train_into
from supsup.archives.network import check_recipe
from supsup.networks.weights_file import sha256_of_file
from tests.supsup.helpers import Blobs
from tests.supsup.networks.trained_net import NET, train_net

CONFIG = TrainConfig(steps=40, optimizer="adam", lr=1e-3)

EVALUATE = """
import json, sys
from maskstore import MaskArchive
from supsup.archives import backbone_of, evaluate_archive
from tests.supsup.archives.test_pretrained import TASKS, NET
with MaskArchive.open(sys.argv[1]) as archive:
    backbone = backbone_of(archive, trusted_net=NET)
    found = evaluate_archive(archive, backbone, tasks=TASKS)
print(json.dumps([each.accuracy for each in found.per_task]))
"""

TASKS = [Blobs(name=f"blobs/{at}", classes=4) for at in range(2)]


def accuracies_in_a_new_process(path):
    done = subprocess.run(
        [sys.executable, "-c", EVALUATE, str(path)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def trained(tmp_path):
    """An archive of two masks over trained weights, and their accuracies."""
    train_net(tmp_path)
    recipe = BackboneRecipe(net=NET, outputs=4, seed=3, weights=tmp_path / "net.pt")
    backbone = build(recipe, allow_code=True)
    with open_or_create(tmp_path / "a.h5", backbone, CONFIG) as archive:
        train_into(archive, backbone, TASKS, CONFIG)
        found = evaluate_archive(archive, backbone, tasks=TASKS)
    return tmp_path / "a.h5", [each.accuracy for each in found.per_task]


def test_masks_over_trained_weights_are_evaluated_alike_in_a_new_process(trained):
    path, accuracies = trained
    assert min(accuracies) > 0.5
    assert accuracies_in_a_new_process(path) == accuracies


@pytest.mark.parametrize("form", ["net.safetensors", "checkpoint.pt"])
def test_the_same_weights_in_another_form_are_the_same(trained, form):
    path, _ = trained
    recipe = BackboneRecipe(net=NET, outputs=4, seed=3, weights=path.parent / form)
    (path.parent / "net.pt").unlink()
    with open_or_create(path, build(recipe, allow_code=True)) as archive:
        check_recipe(archive, recipe)
        assert len(archive) == 2
        made = backbone_of(archive, trusted_net=NET, weights=path.parent / form)
        assert made.digest == archive.weights_digest


def test_a_file_that_is_gone_or_another_is_one_line(trained):
    path, _ = trained
    file = path.parent / "net.pt"
    wanted = sha256_of_file(file)
    file.rename(path.parent / "moved.pt")
    with MaskArchive.open(path) as archive:
        with pytest.raises(InvalidInput, match=f"found none of .*'net.pt', wanted .*{wanted}"):
            backbone_of(archive, trusted_net=NET)
        state = torch.load(path.parent / "moved.pt", weights_only=True)
        torch.save({name: value + 1 for name, value in state.items()}, file)
        other = sha256_of_file(file)
        with pytest.raises(InvalidInput, match=f"SHA-256 {other}, wanted SHA-256 {wanted}"):
            backbone_of(archive, trusted_net=NET)
        with pytest.raises(DigestMismatch, match=f"has SHA-256 {other}, wanted {wanted}"):
            backbone_of(archive, trusted_net=NET, weights=file)
        assert backbone_of(archive, trusted_net=NET, weights=path.parent / "moved.pt")


def test_a_recipe_with_other_sources_is_another(trained):
    path, _ = trained
    with MaskArchive.open(path) as archive:
        recipe = BackboneRecipe.from_json(archive.backbone)
        with pytest.raises(LayoutMismatch, match="weights of parameters"):
            check_recipe(archive, replace(recipe, weights=None))
    with pytest.raises(InvalidInput, match="leave the file out"):
        seeded = BackboneRecipe(net=NET, outputs=4)
        with open_or_create(path.parent / "b.h5", build(seeded, allow_code=True)) as archive:
            backbone_of(archive, trusted_net=NET, weights=path.parent / "net.pt")
