import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from maskstore import ArchiveExists, InvalidInput, MaskArchive
from maskstore.maintenance import merge
from supsup import BackboneRecipe, SupSup, build
from supsup.archives import backbone_of
from supsup.checkpoints import import_checkpoint
from supsup.networks.weights import digest_of
from tests.supsup.checkpoints.helpers import (
    IN_OUR_LENET,
    SHAPES,
    reference_checkpoint,
    reference_er_sparsity,
    reference_threshold,
    reference_topk,
    residual_logits,
    residual_state,
)


@pytest.mark.parametrize("density", [0.5, 0.1, 0.9])
@pytest.mark.parametrize("kind", ["threshold", "topk"])
@pytest.mark.parametrize("says", ["nothing", "conv_type"])
def test_a_checkpoint_of_the_papers_code(tmp_path, kind, density, says):
    asked = {"kind": kind} | ({"density": density} if kind == "topk" else {})
    said = {}
    if says == "conv_type":
        conv = {"threshold": "FastMultitaskMaskConv", "topk": "MultitaskMaskConv"}[kind]
        asked, said = {}, {"conv_type": conv, "sparsity": density, "er_sparsity": False}
    state = reference_checkpoint(tmp_path / "final.pt", **said)
    report = import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", **asked)
    assert (report.tasks, report.bits_per_mask) == (3, 720)
    assert (report.kind, report.net) == (kind, "lenet-300-100")
    assert report.checkpoint_bytes == (tmp_path / "final.pt").stat().st_size
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert report.archive_bytes == archive.file_bytes
        assert archive.names() == ["task/0", "task/1", "task/2"]
        assert archive.task("task/0").metadata["imported"]["options"] == {
            "inputs": 20,
            "hidden": [30, 3],
        }
        for task in range(3):
            masks = archive.get(f"task/{task}")
            for layer, shape in SHAPES.items():
                scores = state[f"{layer}.scores.{task}"]
                expected = reference_threshold(scores)
                if kind == "topk":
                    expected = reference_topk(scores, density)
                assert np.array_equal(masks[IN_OUR_LENET[layer]], expected.reshape(shape[:2]))


@pytest.mark.parametrize(
    ("scores", "ties"),
    [
        ([1, 2, 3, 4], 0),  # 4 and 3 are kept
        ([1, 2, -2, 4], 2),
        ([2, 2, -2, 2], 4),
        ([0, 0, 3, 4], 0),  # equal, and all dropped
        ([5, 4, 4, 1, 5, 4], 3),
    ],
)
def test_ties_at_the_cut_are_told(tmp_path, scores, ties):
    layer = torch.tensor(scores, dtype=torch.float32).view(2, -1)
    state = {"layer.weight": torch.ones_like(layer)}
    state |= {f"layer.scores.{task}": layer for task in (0, 1)}
    torch.save({"state_dict": state}, tmp_path / "final.pt")
    made = tmp_path / "a.h5"
    report = import_checkpoint(tmp_path / "final.pt", made, kind="topk", density=0.5, net="none")
    assert report.tied == 2 * ties
    with MaskArchive.open(made) as archive:
        kept = layer[torch.from_numpy(archive.get("task/0")["layer.weight"])].abs()
    assert sorted(kept.tolist()) == sorted(map(abs, scores))[len(scores) // 2 :]


def test_er_sparsity_is_a_density_for_each_layer(tmp_path):
    state = reference_checkpoint(
        tmp_path / "final.pt", conv_type="MultitaskMaskConv", sparsity=2.0, er_sparsity=True
    )
    import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5")
    # A bare state_dict says nothing; the user knows s.
    torch.save(state, tmp_path / "bare.pt")
    import_checkpoint(tmp_path / "bare.pt", tmp_path / "b.h5", kind="topk", multiplier=2)
    densities = set()
    with MaskArchive.open(tmp_path / "a.h5") as a, MaskArchive.open(tmp_path / "b.h5") as b:
        for layer, shape in SHAPES.items():
            density = reference_er_sparsity(state[f"{layer}.weight"], 2.0)
            densities.add(density)
            expected = reference_topk(state[f"{layer}.scores.1"], density)
            assert np.array_equal(a.get("task/1")[IN_OUR_LENET[layer]], expected.reshape(shape[:2]))
            assert np.array_equal(b.get("task/1")[f"{layer}.weight"], expected)
    assert len(densities) == 2  # one layer is at the limit of 0.5


@pytest.mark.parametrize("task_eval", [None, 1])
def test_scores_without_a_number_are_one_task(tmp_path, task_eval):
    state = reference_checkpoint(
        tmp_path / "final.pt", None, conv_type="MaskConv", sparsity=0.3, task_eval=task_eval
    )
    import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", name="imagenet")
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        (name,) = archive.names()
        assert name == f"imagenet/{task_eval or 0}"
        expected = reference_topk(state["linear.0.scores"], 0.3)
        assert np.array_equal(archive.get(name)["fc1.weight"], expected.reshape(30, 20))


def test_only_the_task_that_was_trained_is_taken(tmp_path):
    reference_checkpoint(tmp_path / "final.pt", conv_type="FastMultitaskMaskConv", task_eval=2)
    import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5")
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert archive.names() == ["task/2"]


def test_names_of_data_parallel_and_of_two_files_that_merge(tmp_path):
    for name, prefix in (("one", ""), ("two", "module.")):
        reference_checkpoint(tmp_path / f"{name}.pt", 2, prefix=prefix)
        import_checkpoint(
            tmp_path / f"{name}.pt", tmp_path / f"{name}.h5", kind="threshold", name=name
        )
    with MaskArchive.open(tmp_path / "one.h5") as one, MaskArchive.open(tmp_path / "two.h5") as two:
        assert np.array_equal(one.get("one/1")["fc2.weight"], two.get("two/1")["fc2.weight"])
        assert merge([one, two], tmp_path / "all.h5") == 4


def test_the_digest_is_that_of_our_network_with_the_checkpoints_weights(tmp_path):
    state = reference_checkpoint(tmp_path / "final.pt")
    import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", kind="threshold")
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        about = archive.task("task/0").metadata["imported"]
        module = build(
            BackboneRecipe(net=about["net"], outputs=about["outputs"], options=about["options"])
        ).module
        module.load_state_dict(
            {
                ours: state[f"{layer}.weight"].reshape(SHAPES[layer][:2])
                for layer, ours in IN_OUR_LENET.items()
            }
        )
        assert archive.weights_digest == digest_of(module.named_parameters())
        assert archive.parameters == 720


@pytest.mark.parametrize("extra", [None, "linear.0.bias"])
def test_a_network_whose_numbers_are_all_there_comes_along(tmp_path, extra):
    state = reference_checkpoint(tmp_path / "bare.pt")
    if extra:
        state[extra] = torch.randn(30)
    reference_checkpoint(tmp_path / "final.pt", state=state)
    report = import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", kind="threshold")
    (tmp_path / "final.pt").unlink()
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        if extra:  # our network has no bias: it would answer otherwise
            assert "masks alone" in report.note
            assert archive.backbone is None
            return
        assert report.note == ""
        backbone = backbone_of(archive)
        masks = backbone.tensors(archive.get("task/1"))
    x = torch.randn(7, 20)
    h = x.double()
    for at, layer in enumerate(SHAPES):
        kept = state[f"{layer}.weight"] * (state[f"{layer}.scores.1"] >= 0)
        h = (torch.relu(h) if at else h) @ kept.flatten(1).double().T
    torch.testing.assert_close(backbone.logits(x, masks).double(), h, rtol=1e-4, atol=1e-4)


def make_own(outputs, shape=(30, 20)):
    module = torch.nn.Sequential(torch.nn.Linear(shape[1], shape[0], bias=False))
    return torch.nn.ModuleDict({"linear": module, "last": torch.nn.Linear(3, outputs)})


def test_a_network_of_the_users_own_names_the_layers(tmp_path):
    net = f"{__name__}:make_own"
    state = {"linear.0.scores.0": torch.randn(30, 20), "linear.0.weight": torch.randn(30, 20)}
    reference_checkpoint(tmp_path / "own.pt", state=state, arch="Mine")
    make = functools.partial(import_checkpoint, tmp_path / "own.pt", kind="threshold")
    assert make(tmp_path / "a.h5", net=net, outputs=3).net == net
    assert make(tmp_path / "b.h5").net is None
    with pytest.raises(InvalidInput, match="layers linear.0: not those of resnet18; name the net"):
        make(tmp_path / "c.h5", net="resnet18")
    state["linear.0.scores.0"] = torch.randn(20, 30)
    reference_checkpoint(tmp_path / "own.pt", state=state, arch="Mine")
    with pytest.raises(InvalidInput, match=r"has 'linear.0.weight' of \(30, 20\)"):
        make(tmp_path / "c.h5", net=net, outputs=3)
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert archive.layout.shapes == {"linear.0.weight": (30, 20)}


class Evil:
    def __reduce__(self):
        import os

        return (os.system, ("touch supsup-was-here",))


def test_checkpoints_that_are_refused(tmp_path):
    out = tmp_path / "a.h5"
    torch.save({"state_dict": {"a": Evil()}}, tmp_path / "evil.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk" * 10)
    torch.save([1, 2], tmp_path / "list.pt")
    state = reference_checkpoint(tmp_path / "final.pt")
    state["linear.0.scores.1"][0, 0] = float("nan")
    torch.save({"state_dict": state}, tmp_path / "nan.pt")
    for name, kind, message in [
        ("evil.pt", "threshold", "not a checkpoint of tensors alone"),
        ("junk.pt", "threshold", "not a checkpoint"),
        ("list.pt", "threshold", "expected a state_dict, found list"),
        ("none.pt", "threshold", "cannot read"),
        ("nan.pt", "threshold", "not finite"),
        ("final.pt", "piggyback", "no tensors named ….mask_real"),
        ("final.pt", "cats", "expected one of threshold, topk, piggyback"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            import_checkpoint(tmp_path / name, out, kind=kind)
    assert not Path("supsup-was-here").exists()
    assert not out.exists()
    out.touch()
    with pytest.raises(ArchiveExists):
        import_checkpoint(tmp_path / "final.pt", out, kind="threshold")


FAST, TOPK = "FastMultitaskMaskConv", "MultitaskMaskConv"
ER = {"conv_type": TOPK, "sparsity": 8.0, "er_sparsity": True}


@pytest.mark.parametrize(
    ("said", "asked", "message"),
    [
        ({}, {}, "does not say how its scores become masks; say --mask threshold"),
        ({"conv_type": "MyConv"}, {}, "conv_type 'MyConv' does not tell"),
        ({"conv_type": FAST}, {"kind": "topk"}, f"--mask topk contradicts .* conv_type {FAST}"),
        ({"conv_type": TOPK, "sparsity": 0.5}, {"kind": "threshold"}, "--mask threshold contra"),
        ({"conv_type": TOPK, "sparsity": 0.5}, {"density": 0.4}, "--density 0.4 contra.* 0.5"),
        ({"conv_type": TOPK, "sparsity": 0.5}, {"multiplier": 2}, "--multiplier 2 contradicts"),
        (ER, {"density": 0.5}, "--density 0.5 contradicts .* sparsity 8.0 with er_sparsity"),
        (ER, {"multiplier": 4}, "--multiplier 4 contradicts .* sparsity 8.0 with er_sparsity"),
        ({"conv_type": FAST}, {"density": 0.5}, "scores >= 0; leave the density out"),
        ({"conv_type": TOPK}, {}, "does not say which share .* --density"),
        ({"conv_type": TOPK, "sparsity": "0.5"}, {}, "args.sparsity: expected a number"),
        ({"conv_type": TOPK, "sparsity": 8.0}, {}, r"density: .* in \(0, 1\], got 8"),
        ({"conv_type": "BatchEnsembles"}, {}, "of BatchEnsembles, which trains weights"),
        ({"conv_type": "PSPRotation"}, {}, "of PSPRotation, which trains weights"),
        ({"conv_type": FAST, "individual_heads": True}, {}, "--individual-heads, whose scores"),
        ({"conv_type": FAST, "task_eval": 7}, {}, "--task-eval 7, has no scores of that task"),
        ({"conv_type": FAST}, {"name": "two\nlines"}, "control characters are not allowed"),
        ({"conv_type": FAST}, {"net": "resnet18"}, "not those of resnet18"),
        ({"conv_type": FAST}, {"net": "cats"}, "net 'cats': expected one of"),
    ],
)  # fmt: skip
def test_what_the_checkpoint_says_counts(tmp_path, said, asked, message):
    reference_checkpoint(tmp_path / "final.pt", **said)
    with pytest.raises(InvalidInput, match=message):
        import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", **asked)
    assert [each.name for each in tmp_path.iterdir()] == ["final.pt"]


def test_what_the_user_says_beside_it_may_be_the_same(tmp_path):
    reference_checkpoint(tmp_path / "final.pt", **ER)
    import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", kind="topk", multiplier=8)
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert len(archive) == 3


def test_scales_and_shifts_of_normalisation_come_along(tmp_path):
    said = {"conv_type": "MultitaskMaskConv", "bn_type": "StandardBN", "sparsity": 8.0}
    state = residual_state()
    path = tmp_path / "final.pt"
    reference_checkpoint(path, state=state, arch="GEMResNet18", er_sparsity=True, **said)
    report = import_checkpoint(path, tmp_path / "a.h5")
    assert (report.net, report.classes, report.note) == ("resnet18", 5, "")
    path.unlink()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    answers = []
    with SupSup.open(tmp_path / "a.h5") as opened:
        assert opened.backbone.recipe.options == {"width": 4, "affine": True}
        assert not any("bn" in name for name in opened.backbone.layout.shapes)
        for number in range(2):
            expected = residual_logits(x.double(), state, f".scores.{number}", "")
            found = opened.module(f"task/{number}").eval()
            for batch in (x, x[:1]):
                close = {"rtol": 1e-4, "atol": 1e-4 * float(expected.abs().max())}
                torch.testing.assert_close(found(batch).double(), expected[: len(batch)], **close)
            answers.append(expected)
    assert not torch.allclose(*answers, rtol=0.1)
    for part in ("bn2.bias", "bn2.weight"):  # none is made up
        without = {name: t for name, t in state.items() if not name.endswith(part)}
        reference_checkpoint(path, state=without, arch="GEMResNet18", er_sparsity=True, **said)
        assert "masks alone" in import_checkpoint(path, tmp_path / f"{part}.h5").note


def test_no_archive_is_left_where_storing_fails(tmp_path):
    reference_checkpoint(tmp_path / "final.pt", conv_type=FAST)

    def full(name):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", on_task=full)
    assert not (tmp_path / "a.h5").exists()
