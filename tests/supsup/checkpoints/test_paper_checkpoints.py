"""Checkpoints that the paper's own code wrote; its rules are recomputed by their definition."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from maskstore import InvalidInput, MaskArchive
from supsup import BackboneRecipe, SupSup, build
from supsup.archives import backbone_of
from supsup.archives.tasks import recipe_of
from supsup.checkpoints import import_checkpoint
from supsup.networks.unpickle import load_checkpoint
from supsup.tasks import TensorTask
from tests.supsup.checkpoints.helpers import (
    reference_er_sparsity,
    reference_threshold,
    reference_topk,
    residual_logits,
)

FOLDER = Path(os.environ.get("SUPSUP_DATA", "")) / "paper-checkpoints"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="needs the paper's checkpoints: SUPSUP_DATA/paper-checkpoints"
)


def imported(tmp_path, name):
    """The report, the archive's masks by task and layer, and the checkpoint's state_dict."""
    report = import_checkpoint(FOLDER / name, tmp_path / "a.h5")
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        masks = {task: archive.get(task) for task in archive.names()}
        about = archive.task(archive.names()[0]).metadata["imported"]
    recipe = BackboneRecipe(net=about["net"], outputs=about["outputs"], options=about["options"])
    assert set(build(recipe).layout.shapes) == set(next(iter(masks.values())))
    return report, masks, load_checkpoint(FOLDER / name)["state_dict"]


@pytest.mark.parametrize(
    ("name", "scores", "tasks"),
    [
        ("gg-resnet-er-sparsity.pt", ["scores.0", "scores.1"], ["task/0", "task/1"]),
        ("maskconv-single.pt", ["scores"], ["task/1"]),
    ],
)
def test_residual_nets_with_er_sparsity(tmp_path, name, scores, tasks):
    report, masks, state = imported(tmp_path, name)
    assert (report.kind, report.net, report.bits_per_mask) == ("topk", "resnet18", 43_852)
    assert list(masks) == tasks
    for task, suffix in zip(tasks, scores, strict=True):
        compared = 0
        for ours, mask in masks[task].items():
            layer = ours.removesuffix(".weight").replace("downsample", "shortcut.0")
            layer = "linear" if layer == "fc" else layer
            density = reference_er_sparsity(state[f"{layer}.weight"], 8.0)
            expected = reference_topk(state[f"{layer}.{suffix}"], density)
            assert np.array_equal(mask, expected.reshape(mask.shape)), layer
            compared += mask.size
        assert compared == 43_852


def test_hopsupsup_masks_the_neurons(tmp_path):
    report, masks, state = imported(tmp_path, "hopsupsup-mnist.pt")
    assert (report.kind, report.net, report.bits_per_mask) == ("threshold", "bn-2048", 408)
    assert list(masks) == [f"task/{number}" for number in range(5)]
    for number, task in enumerate(masks):
        for ours, theirs in {"bn1.weight": "linear.1", "bn2.weight": "linear.4"}.items():
            expected = reference_threshold(state[f"{theirs}.scores.{number}"])
            assert np.array_equal(masks[task][ours], expected)
            assert 0 < expected.sum() < expected.size


def test_hopsupsup_answers_as_the_papers_code_does(tmp_path):
    import_checkpoint(FOLDER / "hopsupsup-mnist.pt", tmp_path / "a.h5")
    state = load_checkpoint(FOLDER / "hopsupsup-mnist.pt")["state_dict"]
    x = torch.randn(16, 784, generator=torch.Generator().manual_seed(0))
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        backbone = backbone_of(archive)  # the checkpoint is not beside the archive
        for number in range(5):
            # BNNet with FastHopMaskBN: statistics of the batch, times the mask, then swish.
            h = x.double()
            for layer, norm in (("linear.0", "linear.1"), ("linear.3", "linear.4")):
                h = h @ state[f"{layer}.weight"].flatten(1).double().T
                h = (h - h.mean(0)) / torch.sqrt(h.var(0, unbiased=False) + 1e-5)
                h = h * (state[f"{norm}.scores.{number}"] >= 0)
                h = h * torch.sigmoid(h)
            expected = h @ state["linear.6.weight"].flatten(1).double().T
            masks = backbone.tensors(archive.get(f"task/{number}"))
            found = backbone.logits(x, masks).double()
            assert float(expected.abs().max()) > 0.1
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        (
            "gg-resnet-er-sparsity.pt",
            {"task/0": (".scores.0", ".bns.0"), "task/1": (".scores.1", ".bns.1")},
        ),
        ("maskconv-single.pt", {"task/1": (".scores", "")}),
    ],
)
def test_residual_nets_answer_as_the_papers_code_does(tmp_path, name, tasks):
    report = import_checkpoint(FOLDER / name, tmp_path / "a.h5")
    assert (report.classes, report.note) == (5, "")
    state = load_checkpoint(FOLDER / name)["state_dict"]
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answers = []
    with SupSup.open(tmp_path / "a.h5") as opened:  # the checkpoint is not beside the archive
        assert opened.backbone.statistics == "running"
        for task, (scores, norm) in tasks.items():
            expected = residual_logits(x.double(), state, scores, norm)
            archive, backbone = opened.archive, opened.backbone
            found = backbone.run(x, backbone.of_task(archive.get(task), archive.tensors(task)))
            alone = opened.module(task).eval()(x[:1])
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(alone.double(), expected[:1], rtol=1e-4, atol=1e-6)
            assert float(expected.std()) > 0.01
            answers.append(expected)
        assert set(opened.infer(x).names) <= set(tasks)
    # The statistics are each task's own: not those of the other, nor of nothing.
    assert all(not torch.allclose(answers[0], each, atol=1e-3) for each in answers[1:])


def test_the_result_is_evaluated_on_data_that_are_handed_over(tmp_path):
    import_checkpoint(FOLDER / "gg-resnet-er-sparsity.pt", tmp_path / "a.h5")
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, 32, 32, generator=generator), torch.arange(40) % 5
    with SupSup.open(tmp_path / "a.h5") as opened:
        right = (opened.predict(x, "task/1").predictions == y.numpy()).mean()
        task = TensorTask(name="task/1", train=(x, y), test=(x, y), classes=5)
        (row,) = opened.evaluate(task).per_task
        assert row.accuracy == pytest.approx(right)
        with pytest.raises(InvalidInput, match="added without the recipe of its data"):
            opened.evaluate()


def test_data_that_the_checkpoint_names_are_found_again(tmp_path):
    report = import_checkpoint(FOLDER / "hopsupsup-mnist.pt", tmp_path / "a.h5")
    assert (report.data, report.classes) == (("mnist",), 10)
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        recipes = [recipe_of(archive, each) for each in archive]
    assert [list(each.label_map(10)) for each in recipes] == [list(range(10))] * 5
    assert [each.name for each in recipes] == [f"split-mnist/{number}" for number in range(5)]


def test_batche_has_no_masks(tmp_path):
    with pytest.raises(InvalidInput, match="BatchEnsembles, which trains weights for each task"):
        import_checkpoint(FOLDER / "batche-heads.pt", tmp_path / "a.h5")
    # Its heads are called scores; alone, without what args says, they are none either.
    state = load_checkpoint(FOLDER / "batche-heads.pt")["state_dict"]
    torch.save(state, tmp_path / "bare.pt")
    with pytest.raises(InvalidInput, match="BatchEnsembles, which trains weights for each task"):
        import_checkpoint(tmp_path / "bare.pt", tmp_path / "a.h5", kind="threshold")
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize("name", ["gg-resnet-er-sparsity.pt", "maskconv-single.pt"])
def test_a_mask_that_contradicts_it_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match="--mask threshold contradicts the checkpoint"):
        import_checkpoint(FOLDER / name, tmp_path / "a.h5", kind="threshold")
