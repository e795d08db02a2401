import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from maskstore import MaskArchive, merge
from maskstore.errors import DigestMismatch, InvalidInput, LayoutMismatch
from maskstore.stats import archive_stats
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import (
    backbone_of,
    create_archive,
    evaluate_archive,
    open_or_create,
    train_into,
)
from supsup.archives.network import check_recipe
from supsup.archives.weights import build_for
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


@pytest.fixture
def embedded(tmp_path):
    """The same with the weights inside, and no file left."""
    train_net(tmp_path)
    recipe = BackboneRecipe(net=NET, outputs=4, seed=3, weights=tmp_path / "net.pt")
    backbone = build(recipe, allow_code=True)
    with open_or_create(tmp_path / "a.h5", backbone, CONFIG, embed=True) as archive:
        train_into(archive, backbone, TASKS, CONFIG)
        found = evaluate_archive(archive, backbone, tasks=TASKS)
    for file in tmp_path.glob("*.pt"):
        file.unlink()
    (tmp_path / "net.safetensors").unlink()
    return tmp_path / "a.h5", [each.accuracy for each in found.per_task], backbone


def test_embedded_weights_need_no_file(embedded):
    path, accuracies, backbone = embedded
    assert accuracies_in_a_new_process(path) == accuracies
    with MaskArchive.open(path) as archive:
        assert archive.format_version == 2
        stored = archive.shared_tensors("weights")
        stats = archive_stats(archive)
    assert set(stored) == backbone.trained
    for name, value in stored.items():
        assert np.array_equal(value, backbone.module.get_parameter(name).numpy())
    assert stats.weights_bytes == stats.shared_bytes > 0
    assert stats.bytes_per_task == path.stat().st_size / 2
    known = BackboneRecipe.from_json(backbone.recipe.to_json())
    assert build_for(path, known, allow_code=True).digest == backbone.digest


def test_weights_are_embedded_later_and_once(trained):
    path, _ = trained
    with MaskArchive.open(path) as archive:
        backbone = backbone_of(archive, trusted_net=NET)
    with open_or_create(path, backbone, embed=True) as archive:
        size = archive.file_bytes
    with open_or_create(path, backbone, embed=True) as archive:
        assert archive.file_bytes == size
    (path.parent / "net.pt").unlink()
    with MaskArchive.open(path) as archive:
        assert backbone_of(archive, trusted_net=NET).digest == backbone.digest


def test_there_is_nothing_to_embed_of_a_seed(tmp_path):
    seeded = build(BackboneRecipe(net=NET, outputs=4), allow_code=True)
    with pytest.raises(InvalidInput, match="none to embed"):
        create_archive(tmp_path / "a.h5", seeded, embed=True)
    assert not (tmp_path / "a.h5").exists()


def test_other_embedded_weights_are_not_taken_for_these(embedded):
    path, _, _ = embedded
    with MaskArchive.open(path, "a") as archive:
        stored = archive.shared_tensors("weights")
        archive.set_shared_tensors("weights", {name: value + 1 for name, value in stored.items()})
        with pytest.raises(DigestMismatch):
            backbone_of(archive, trusted_net=NET)


def test_stats_count_a_file_outside_as_they_count_one_inside(trained):
    path, _ = trained
    file = (path.parent / "net.pt").stat().st_size
    with MaskArchive.open(path) as archive:
        stats = archive_stats(archive)
        dense = 4 * archive.parameters
    assert stats.weights_bytes == file
    assert stats.bytes_per_task == (path.stat().st_size + file) / 2
    assert stats.ratio_to_dense == pytest.approx(dense / stats.bytes_per_task)
    assert stats.ratio_without_weights == pytest.approx(2 * dense / path.stat().st_size)


def test_archives_of_the_same_weights_in_two_files_are_merged(trained):
    path, _ = trained
    recipe = BackboneRecipe(net=NET, outputs=4, seed=3, weights=path.parent / "net.safetensors")
    backbone = build(recipe, allow_code=True)
    with create_archive(path.parent / "b.h5", backbone) as other, MaskArchive.open(path) as first:
        other.add("c", first.get("blobs/0"))
        assert merge([first, other], path.parent / "both.h5") == 3


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
