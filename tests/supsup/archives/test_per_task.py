"""Tasks with parameters of their own in an archive: read back, found, predicted, exported."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import supsup
from maskstore import MaskArchive, compact, merge, verify
from maskstore.errors import InvalidInput, LayoutMismatch, TaskNotFound
from supsup import TrainConfig
from supsup.archives import backbone_of, create_archive, evaluate_archive, train_into
from supsup.archives.inference import bank_of
from supsup.archives.prediction import module_of, predict_with
from supsup.checkpoints import export_dense
from supsup.inference import MaskBank, infer_in
from supsup.inference.objectives import Entropy
from supsup.inference.query import Query
from supsup.inference.superposition import gradients, superposed
from supsup.recovery import encode_archive
from supsup.task_free import Learner
from tests.supsup.helpers import Blobs, as_users_run_it
from tests.supsup.networks.norms import Colours
from tests.supsup.networks.own_nets import NET, HeadNet, lenet, named, normed

CONFIG = TrainConfig(steps=30, batch=32, optimizer="adam", lr=0.01, per_task_lr=0.02)
TASKS = [Colours(index) for index in range(4)]
OWN = ("head.*", "norm.*", "*.bias")
UNEVEN = [Blobs(name=f"blobs/{n}", classes=n, pixels=48) for n in (2, 3, 5)]


def made(path, backbone, tasks, config=CONFIG):
    with create_archive(path, backbone, config) as archive:
        train_into(archive, backbone, tasks, config)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Four tasks of three classes each, of a network with five outputs."""
    return made(tmp_path_factory.mktemp("own") / "four.h5", named(OWN), TASKS)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    return made(tmp_path_factory.mktemp("own") / "uneven.h5", named(OWN), UNEVEN)


def opened(path):
    archive = MaskArchive.open(path)
    return archive, backbone_of(archive, trusted_net=NET)


def accuracies(path, tasks=TASKS, backbone=None):
    with MaskArchive.open(path) as archive:
        backbone = backbone or backbone_of(archive, trusted_net=NET)
        return [row.accuracy for row in evaluate_archive(archive, backbone, tasks=tasks).per_task]


def measured(path):
    with MaskArchive.open(path) as archive:
        return [stored.metadata["metrics"]["accuracy"] for stored in archive]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_accuracies_come_back_to_the_last_digit(dtype, tmp_path):
    config = replace(CONFIG, per_task_dtype=dtype)
    path = made(tmp_path / "a.h5", named(OWN), TASKS[:2], config)
    assert accuracies(path, TASKS[:2]) == measured(path)
    assert min(measured(path)) > 0.6
    with MaskArchive.open(path) as archive:
        kinds = {each.dtype for each in archive.task(TASKS[0].name).tensors}
        assert dtype in kinds
        assert not verify(archive)


@pytest.mark.parametrize("make", [lenet, normed])
def test_of_a_net_that_ships_and_beside_running_statistics(make, tmp_path):
    backbone = make()
    path = made(tmp_path / "a.h5", backbone, TASKS[:2])
    assert accuracies(path, TASKS[:2], backbone) == measured(path)
    with MaskArchive.open(path) as archive:
        found = infer_in(bank_of(archive, backbone), TASKS[0].x[:1])
        assert found.names[0] in archive


def test_what_the_archive_says_of_itself(path):
    with MaskArchive.open(path) as archive:
        assert archive.backbone["per_task"] == list(OWN)
        shapes = {each.name: each.shape for each in archive.task(TASKS[0].name).tensors}
    assert shapes == {
        "trunk.bias": (12,), "norm.weight": (12,), "norm.bias": (12,),
        "head.weight": (3, 12), "head.bias": (3,),
    }  # fmt: skip


def test_resumed_compacted_and_merged(path, tmp_path):
    backbone = named(OWN)
    with create_archive(tmp_path / "some.h5", backbone, CONFIG) as archive:
        train_into(archive, backbone, TASKS[:1], CONFIG)
        assert len(train_into(archive, backbone, TASKS[:2], CONFIG, resume=True)) == 1
    rest = tmp_path / "rest.h5"
    rest.write_bytes(path.read_bytes())
    with MaskArchive.open(rest, "a") as archive:
        for task in TASKS[:2]:
            archive.remove(task.name)
        compact(archive)
    with MaskArchive.open(tmp_path / "some.h5") as first, MaskArchive.open(rest) as other:
        merge([first, other], tmp_path / "all.h5")
    assert accuracies(tmp_path / "all.h5") == accuracies(path)


@pytest.mark.parametrize("rows", [None, [0, 2, 3]])
def test_superposed_with_the_same_coefficients(rows, path):
    """Σ α_i T^i beside W ⊙ Σ α_i M^i, and ∂H/∂α by autograd through both."""
    archive, backbone = opened(path)
    bank, x = bank_of(archive, backbone), TASKS[1].x[:4]
    chosen = None if rows is None else np.array(rows)
    names = [archive.names()[row] for row in (range(4) if rows is None else rows)]
    each = [backbone.of_task(archive.get(name), archive.tensors(name)) for name in names]
    alpha = torch.full((len(names),), 1 / len(names), requires_grad=True)
    mixed = {
        key: torch.tensordot(alpha, torch.stack([one[key] for one in each]), 1) for key in each[0]
    }
    value = Entropy()(backbone.run(x, mixed), 3).mean()
    slopes = torch.autograd.grad(value, alpha)[0].numpy()
    found = superposed(bank, chosen)
    assert found.keys() == mixed.keys()
    for key, expected in mixed.items():
        torch.testing.assert_close(found[key], expected)
    tolerance = {"rtol": 1e-3, "atol": 1e-4 * np.abs(slopes).max()}
    whole = Query(bank=bank, x=x, objective=Entropy(), per_image=False)
    np.testing.assert_allclose(gradients(whole, rows=chosen)[0], slopes, **tolerance)
    single = gradients(replace(whole, per_image=True), rows=chosen)
    np.testing.assert_allclose(single.mean(0), slopes, **tolerance)


@pytest.mark.parametrize("method", ["one-shot", "binary", "exhaustive", "hybrid", "logits"])
@pytest.mark.parametrize("mode", ["image", "batch"])
def test_every_method_finds_the_tasks(method, mode, path):
    archive, backbone = opened(path)
    x = TASKS[2].x[96:104]
    found = infer_in(bank_of(archive, backbone), x, method=method, mode=mode)
    streamed = MaskBank(backbone, archive, classes=3)
    again = infer_in(streamed, x, method=method, mode=mode)
    np.testing.assert_allclose(again.evidence, found.evidence, rtol=1e-4, atol=1e-5)
    masked = backbone.of_task(archive.get(found.names[0]), archive.tensors(found.names[0]))
    with torch.no_grad():
        assert backbone.run(x[:1], masked).argmax(1) == found.predictions[0]


def test_each_of_uneven_heads_is_scored_over_its_own_classes(uneven):
    """H / log C of the task's own logits, whatever rows others have."""
    archive, backbone = opened(uneven)
    bank, x = bank_of(archive, backbone), UNEVEN[1].x[:6]
    found = infer_in(bank, x, method="exhaustive", objective=Entropy())
    for at, task in enumerate(UNEVEN):
        own = backbone.of_task(archive.get(task.name), archive.tensors(task.name))
        with torch.no_grad():
            logits = backbone.run(x, own)
        assert logits.shape[1] == task.classes
        h = torch.distributions.Categorical(logits=logits).entropy() / math.log(task.classes)
        np.testing.assert_allclose(found.evidence[:, at], -h.numpy(), rtol=1e-4, atol=1e-5)
    assert max(found.predictions[found.tasks == 0], default=0) < 2
    assert accuracies(uneven, UNEVEN) == measured(uneven)
    assert infer_in(bank, x).method == "exhaustive"


@pytest.mark.parametrize("method", ["one-shot", "binary", "hybrid"])
def test_uneven_heads_cannot_be_superposed(method, uneven):
    archive, backbone = opened(uneven)
    with pytest.raises(InvalidInput, match="heads of 2 to 5 outputs.*exhaustive") as error:
        infer_in(bank_of(archive, backbone), UNEVEN[0].x[:2], method=method)
    assert "\n" not in str(error.value)


def test_as_many_classes_but_other_widths_are_uneven_too(tmp_path):
    """A head that outliers were trained on beside one that is cut."""
    backbone = named(OWN)
    path = made(tmp_path / "a.h5", backbone, TASKS[:1], replace(CONFIG, steps=3))
    outliers = replace(CONFIG, steps=3, outliers=0.1)
    with MaskArchive.open(path, "a") as archive:
        train_into(archive, backbone, TASKS[1:2], outliers)
        bank = bank_of(archive, backbone)
        assert bank.class_counts.tolist() == [3, 3]
        with pytest.raises(InvalidInput, match="heads of 3 to 5 outputs"):
            infer_in(bank, TASKS[0].x[:2], method="one-shot")
        streamed = MaskBank(backbone, archive)
        assert streamed.class_counts.tolist() == [3, 5]


def test_spare_outputs_are_those_of_the_heads(path):
    archive, backbone = opened(path)
    bank = bank_of(archive, backbone)
    assert bank.spare_outputs == 0
    with pytest.raises(InvalidInput, match="none to spare"):
        infer_in(bank, TASKS[0].x[:2], method="exhaustive", objective="superfluous")


def test_predicted_exported_and_as_a_module(path, tmp_path):
    archive, backbone = opened(path)
    task = TASKS[3]
    with torch.no_grad():
        expected = backbone.run(
            task.x[:9], backbone.of_task(archive.get(task.name), archive.tensors(task.name))
        )
        module = module_of(archive, backbone, task.name).eval()
        torch.testing.assert_close(module(task.x[:9]), expected)
        assert module.head.out_features == 3
        found = predict_with(archive, backbone, task.x[:9], task.name)
        np.testing.assert_array_equal(found.predictions, expected.argmax(1))
        out = tmp_path / "dense.safetensors"
        export_dense(archive, task.name, backbone, out)
        dense = HeadNet(3)
        dense.load_state_dict(load_file(out), strict=True)
        torch.testing.assert_close(dense.eval()(task.x[:9]), expected)


def test_what_knows_masks_only_says_so(path):
    archive, backbone = opened(path)
    refused = {
        "a memory of bits works on masks alone.*parameters": lambda: encode_archive(
            archive, trusted_net=NET
        ),
        "learning without task identities works on masks": lambda: Learner(
            backbone, CONFIG, classes=3
        ),
        "tensors of their own": lambda: MaskBank(backbone, archive.packed()),
        "tensor 'trunk.bias' of a task: expected": lambda: backbone.of_task(
            archive.get(TASKS[0].name), {}
        ),
    }
    for match, ask in refused.items():
        with as_users_run_it(), pytest.raises(InvalidInput, match=match):
            ask()


def test_tensors_that_do_not_fit_are_one_line(path):
    archive, backbone = opened(path)
    kept = archive.tensors(TASKS[0].name)
    for other, match in (
        ({"head.weight": np.zeros((6, 12), np.float32)}, "'head.weight'.*expected.*\\(6, 12\\)"),
        ({"norm.bias": np.zeros(12, np.int64)}, "'norm.bias'.*int64"),
        ({"norm.bias": np.zeros(12, np.int8)}, "differences, and 'int8-steps'"),
    ):
        with pytest.raises(InvalidInput, match=match):
            backbone.read_tensors(kept | other)


def test_an_archive_is_for_what_is_per_task(path):
    with pytest.raises(LayoutMismatch, match="per_task|cover"):
        supsup.archives.open_or_create(path, named(("head.*",)))
    assert supsup.archives.NetworkOptions().recipe(path).per_task == OWN


def test_a_module_that_is_handed_in(tmp_path):
    path = tmp_path / "door.h5"
    with supsup.SupSup.create(path, HeadNet(5), per_task=["head.*"]) as door:
        door.train(TASKS[:2], steps=20, batch=32, per_task_dtype="int8")
        expected = [row.accuracy for row in door.evaluate(TASKS[:2]).per_task]
        assert json.loads(json.dumps(door.archive.backbone))["per_task"] == ["head.*"]
    with supsup.SupSup.open(path, HeadNet(5)) as door:
        assert [row.accuracy for row in door.evaluate(TASKS[:2]).per_task] == expected
        assert door.module(TASKS[0].name).head.weight.shape == (3, 12)
        with pytest.raises(TaskNotFound):
            door.module("colours/9")
