"""Tasks with running statistics in an archive: stored with the mask, read in another process, found
from single images, exported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import supsup
from maskstore import MaskArchive, compact, merge
from maskstore.errors import InvalidInput, LayoutMismatch
from supsup import TrainConfig, build, train
from supsup.archives import (
    NetworkOptions,
    backbone_of,
    create_archive,
    evaluate_archive,
    open_or_create,
    train_into,
)
from supsup.archives.inference import bank_of
from supsup.archives.prediction import module_of, predict_with
from supsup.baselines import BASELINES, BaselineConfig
from supsup.checkpoints import export_dense
from supsup.inference import MaskBank, infer_in
from supsup.inference.auto import AUTO_OBJECTIVE
from supsup.inference.objectives import Entropy
from supsup.inference.prototypes import FeatureRecipe, add_prototypes
from supsup.inference.query import Query
from supsup.inference.superposition import gradients, superposed
from supsup.networks import make_module
from supsup.recovery import encode_archive
from supsup.task_free import Learner
from tests.supsup.helpers import as_users_run_it
from tests.supsup.inference.helpers import BY_MASKS
from tests.supsup.networks.norms import CLASSES, MODULES, Colours, recipe

CONFIG = TrainConfig(steps=30, batch=32, optimizer="adam", lr=0.01)
TASKS = [Colours(index, size=8) for index in range(5)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("running") / "five.h5"
    backbone = build(recipe("resnet18"))
    with create_archive(path, backbone, CONFIG) as archive:
        train_into(archive, backbone, TASKS[:2], CONFIG)
    with open_or_create(path, backbone) as archive:
        assert len(train_into(archive, backbone, TASKS, CONFIG, resume=True)) == 3
    return path


@pytest.fixture
def opened(path):
    with MaskArchive.open(path) as archive:
        yield archive, backbone_of(archive)


def evaluated(path: Path, scenario: str, mode: str) -> dict:
    """What ``eval --json`` says."""
    with MaskArchive.open(path) as archive:
        found = evaluate_archive(
            archive, backbone_of(archive), tasks=TASKS, scenario=scenario, mode=mode,
            method="exhaustive",
        )  # fmt: skip
    return found.to_json()


def test_in_another_process_to_the_last_digit(path, opened):
    archive, backbone = opened
    program = (
        "import json, sys; from tests.supsup.archives.test_running_statistics import evaluated; "
        "print(json.dumps([evaluated(sys.argv[1], s, 'image') for s in ('GG', 'GNu')]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(path)],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    given, inferred = json.loads(done.stdout)
    assert given == evaluated(path, "GG", "image")
    assert inferred == evaluated(path, "GNu", "image")
    for row, stored in zip(given["per_task"], archive, strict=True):
        assert row["accuracy"] == stored.metadata["metrics"]["accuracy"]
        assert row["accuracy"] > 0.8
    weights = [backbone.of_task(archive.get(n), archive.tensors(n)) for n in archive.names()]
    for at, (row, task) in enumerate(zip(inferred["per_task"], TASKS, strict=True)):
        with torch.no_grad():
            each = [AUTO_OBJECTIVE(backbone.run(task.x[96:], w), CLASSES) for w in weights]
        found = torch.stack(each).argmin(0) == at
        assert row["task_accuracy"] == pytest.approx(float(found.float().mean()), abs=0.02)


def test_resumed_to_the_same_bits(opened):
    archive, backbone = opened
    for stored, found in zip(archive, train(backbone, TASKS, CONFIG), strict=True):
        assert {each.name for each in stored.tensors} == backbone.kept_tensors.keys()
        for key, each in archive.tensors(stored.name).items():
            np.testing.assert_array_equal(each, found.tensors[key])
        for key, each in archive.get(stored.name).items():
            np.testing.assert_array_equal(each, found.masks[key])


def test_compact_and_merge_take_them_along(path, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())
    with MaskArchive.open(copy, "a") as archive:
        for task in TASKS[1:]:
            archive.remove(task.name)
        compact(archive)
    other = tmp_path / "other.h5"
    other.write_bytes(path.read_bytes())
    with MaskArchive.open(other, "a") as archive:
        archive.remove(TASKS[0].name)
    with MaskArchive.open(copy) as first, MaskArchive.open(other) as rest:
        merge([first, rest], tmp_path / "all.h5")
    assert evaluated(tmp_path / "all.h5", "GG", "image") == evaluated(path, "GG", "image")


@pytest.mark.parametrize("method", BY_MASKS)
@pytest.mark.parametrize("mode", ["image", "batch", "first"])
def test_every_method_answers_a_single_image(method, mode, opened):
    """Alone as beside others, but where all of a batch decide."""
    archive, backbone = opened
    x = TASKS[3].x[:6]
    bank = bank_of(archive, backbone)
    alone = infer_in(bank, x[:1], method=method, mode=mode)
    beside = infer_in(bank, x, method=method, mode=mode)
    streamed = MaskBank(backbone, archive, classes=CLASSES)
    again = infer_in(streamed, x, method=method, mode=mode)
    np.testing.assert_allclose(again.evidence, beside.evidence, rtol=1e-4, atol=1e-5)
    if mode != "batch":
        np.testing.assert_allclose(beside.evidence[0], alone.evidence[0], rtol=1e-3, atol=1e-4)
        assert beside.names[0] == alone.names[0]


def test_one_image_among_one_eight_and_sixty_four(opened):
    archive, backbone = opened
    x = torch.cat([task.x for task in TASKS])[:64]
    for name in archive.names():
        weights = backbone.of_task(archive.get(name), archive.tensors(name))
        with torch.no_grad():
            alone, eight, all_of_them = (backbone.run(x[:n], weights)[0] for n in (1, 8, 64))
        assert float(all_of_them.std()) > 0.1
        torch.testing.assert_close(alone, all_of_them, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(eight, all_of_them, rtol=1e-4, atol=1e-4)


def by_hand(archive, backbone, x, rows=None) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """(the superposed network, dH/dα of the mean H) by autograd through Σ α_i."""
    names = [archive.names()[row] for row in (range(5) if rows is None else rows)]
    each = [backbone.of_task(archive.get(name), archive.tensors(name)) for name in names]
    alpha = torch.full((len(names),), 1 / len(names), requires_grad=True)
    mixed = {
        key: torch.tensordot(alpha, torch.stack([one[key] for one in each]), 1) for key in each[0]
    }
    value = Entropy()(backbone.run(x, mixed), CLASSES).mean()
    return mixed, torch.autograd.grad(value, alpha)[0].numpy()


@pytest.mark.parametrize("rows", [None, [0, 2, 3]])
def test_superposed_with_the_same_coefficients(rows, opened):
    archive, backbone = opened
    bank, x = bank_of(archive, backbone), TASKS[1].x[:4]
    chosen = None if rows is None else np.array(rows)
    mixed, slopes = by_hand(archive, backbone, x, rows)
    found = superposed(bank, chosen)
    assert found.keys() == mixed.keys()
    for key, each in mixed.items():
        torch.testing.assert_close(found[key], each)
    whole = Query(bank=bank, x=x, objective=Entropy(), per_image=False)
    np.testing.assert_allclose(
        gradients(whole, rows=chosen)[0], slopes, rtol=1e-3, atol=1e-4 * np.abs(slopes).max()
    )
    single = gradients(Query(bank=bank, x=x, objective=Entropy(), per_image=True), rows=chosen)
    np.testing.assert_allclose(single.mean(0), slopes, rtol=1e-3, atol=1e-4 * np.abs(slopes).max())


def test_exported_state_loads_and_answers_alike(opened, tmp_path):
    archive, backbone = opened
    for task in TASKS[:2]:
        file = tmp_path / f"{task.name.replace('/', '-')}.safetensors"
        export_dense(archive, task.name, backbone, file)
        module = make_module(recipe("resnet18"), allow_code=False)
        module.load_state_dict(load_file(file), strict=True)
        weights = backbone.of_task(archive.get(task.name), archive.tensors(task.name))
        with torch.no_grad():
            for count in (1, 7):
                torch.testing.assert_close(
                    module.eval()(task.x[:count]), backbone.run(task.x[:count], weights)
                )


def refused(archive, backbone, path, tmp_path) -> dict:
    masks = archive.packed()
    return {
        "encode": lambda: encode_archive(archive),
        "learn": lambda: Learner(backbone, TrainConfig(steps=3), classes=CLASSES),
        "baseline": lambda: BASELINES["lower-bound"](backbone, BaselineConfig(steps=3)),
        "masks alone": lambda: MaskBank(backbone, masks, classes=CLASSES),
        "accuracy": lambda: supsup.accuracy(backbone, archive.get(TASKS[0].name), TASKS[0]),
    }


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("encode", "a memory of bits works on masks alone, and the tasks of network resnet18"),
        ("learn", "learning without task identities works on masks alone"),
        ("baseline", "baseline lower-bound works on masks alone"),
        ("masks alone", "tensors of their own, which masks alone do not tell"),
        ("accuracy", "tensor 'bn1.running_mean' of a task: expected float32 .* got none"),
    ],
)
def test_what_knows_masks_only_says_so(what, message, opened, path, tmp_path):
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        refused(*opened, path, tmp_path)[what]()


def test_an_archive_is_for_its_statistics(path):
    for statistics in ("batch", "frozen"):
        with pytest.raises(LayoutMismatch, match="statistics 'running', asked for"):
            open_or_create(path, build(recipe("resnet18", statistics)))
    assert NetworkOptions().recipe(path).statistics == "running"


def test_the_front_door_predicts_by_the_tasks_own(path, opened):
    archive, backbone = opened
    task = TASKS[4]
    weights = backbone.of_task(archive.get(task.name), archive.tensors(task.name))
    with torch.no_grad():
        expected = backbone.run(task.x[:5], weights)
    module = module_of(archive, backbone, task.name).eval()
    torch.testing.assert_close(module(task.x[:5]).detach(), expected)
    found = predict_with(archive, backbone, task.x[:5], [task.name] * 5)
    np.testing.assert_array_equal(found.predictions, expected[:, :CLASSES].argmax(1))


@pytest.mark.parametrize("network", ["resnet18", MODULES["batch norm"]()])
def test_a_front_door_with_running_statistics(network, tmp_path):
    """Created, trained and opened again, of a net that is named and of a module handed in."""
    path, named = tmp_path / "door.h5", isinstance(network, str)
    options = {"width": 4, "blocks": [1], "outputs": 5} if named else {}
    tasks = [Colours(index, size=4) for index in range(2)]
    with supsup.SupSup.create(path, network, statistics="running", **options) as door:
        door.train(tasks, steps=8, batch=24)
        expected = door.predict(tasks[1].x[:7], tasks[1].name).predictions
    with supsup.SupSup.open(path, network=None if named else network) as door:
        assert {stored.name: bool(stored.tensors) for stored in door.tasks.values()} == {
            task.name: True for task in tasks
        }
        alone = [door.predict(each[None], tasks[1].name).predictions[0] for each in tasks[1].x[:7]]
    np.testing.assert_array_equal(alone, expected)


def test_prototypes_beside_statistics(path, tmp_path):
    both = tmp_path / "both.h5"
    both.write_bytes(path.read_bytes())
    x = next(iter(TASKS[1].test_batches(8)))[0]
    with MaskArchive.open(both, "a") as archive:
        backbone = backbone_of(archive)
        before = predict_with(archive, backbone, x, [TASKS[1].name] * len(x))
        statistics = set(archive.tensors(TASKS[1].name))
        assert add_prototypes(archive, backbone, TASKS, FeatureRecipe(size=30)) == 5
        assert set(archive.tensors(TASKS[1].name)) == statistics | {"prototypes"}
        found = infer_in(bank_of(archive, backbone), x)
        after = predict_with(archive, backbone, x, [TASKS[1].name] * len(x))
    assert found.method == "prototypes"
    assert str(before) == str(after)
