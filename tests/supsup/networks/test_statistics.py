"""Running statistics of tasks, against plain PyTorch modules in naive loops."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.func import functional_call, grad, vmap

from maskstore.errors import InvalidInput
from maskstore.seeded.scores import ScoreStart
from supsup import BackboneRecipe, TrainConfig, TrainingDiverged, build, train
from supsup.networks import Backbone, make_module
from supsup.networks.probe import probe
from supsup.networks.weights_file import WeightsFile
from supsup.tasks.order import batches
from supsup.training.batches import held_out_of
from supsup.training.group import train_group
from tests.supsup.helpers import as_users_run_it, small_lenet
from tests.supsup.networks.norms import BACKBONES, MODULES, Colours, from_module, recipe

CONFIG = TrainConfig(steps=6, batch=24, lr=0.05, momentum=0.9, schedule="constant")
TASKS = [Colours(0), Colours(1)]


def plain(name: str, backbone: Backbone) -> nn.Module:
    """The module as PyTorch runs it, with its own running statistics, from 0 and 1."""
    module = make_module(recipe(name), allow_code=False) if backbone.ships else MODULES[name]()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(backbone.module.get_parameter(key))
    return module.requires_grad_(False)


def naive(name: str, backbone: Backbone, task: Colours, metadata: dict) -> nn.Module:
    """The plain module after training its mask by SGD on the scores, batch by batch."""
    module = plain(name, backbone).train()
    scores = {
        key: torch.from_numpy(each)
        for key, each in ScoreStart.from_json(metadata["scores"]).draw(backbone.layout).items()
    }
    speed = {key: torch.zeros_like(each) for key, each in scores.items()}
    order = batches(
        CONFIG.seed, task.name, task.train_size, CONFIG.batch, task.device,
        held_out=held_out_of(task),
    )  # fmt: skip
    for _ in range(CONFIG.steps):
        x, y = task.train_batch(next(order))
        weights = {
            key: (w * (scores[key] >= 0)).requires_grad_() for key, w in backbone.weights.items()
        }
        loss = F.cross_entropy(functional_call(module, weights, x), y)
        for key, slope in zip(
            weights, torch.autograd.grad(loss, list(weights.values())), strict=True
        ):
            speed[key] = CONFIG.momentum * speed[key] + slope * backbone.weights[key]
            scores[key] = scores[key] - CONFIG.lr * speed[key]
    for key, w in backbone.weights.items():
        module.get_parameter(key).data = w * (scores[key] >= 0)
    return module.eval()


def buffers(module: nn.Module) -> dict[str, np.ndarray]:
    return {key: each.numpy() for key, each in module.named_buffers() if "num_batches" not in key}


@pytest.mark.parametrize("name", BACKBONES)
def test_trained_as_by_a_naive_loop(name):
    """The same statistics to rounding, the same logits, and a module that is left as it was."""
    backbone = BACKBONES[name]()
    digest = backbone.digest
    for task, found in zip(TASKS, train(backbone, TASKS, CONFIG), strict=True):
        module = naive(name, backbone, task, found.metadata)
        expected = buffers(module)
        assert found.tensors.keys() == expected.keys() == backbone.kept_tensors.keys()
        for key, each in expected.items():
            np.testing.assert_allclose(found.tensors[key], each, rtol=1e-4, atol=1e-5, err_msg=key)
            assert np.abs(each - backbone.kept_tensors[key].numpy()).max() > 1e-3, "it has moved"
        with torch.no_grad():
            logits = backbone.run(task.x, backbone.of_task(found.masks, found.tensors))
            np.testing.assert_allclose(logits, module(task.x), rtol=1e-3, atol=1e-4)
        right = (logits[96:, :3].argmax(1) == task.y[96:]).float().mean()
        assert found.metrics["accuracy"] == pytest.approx(float(right))
    del backbone.digest
    assert backbone.digest == digest


@pytest.mark.parametrize("name", BACKBONES)
def test_several_in_a_step_as_alone(name):
    backbone = BACKBONES[name]()
    alone = list(train(backbone, TASKS, CONFIG, parallel=1))
    together = train_group(backbone, TASKS, CONFIG, rows=3, report=print, stopped=lambda: False)
    in_turn = name == "mean of all batches"  # how many there were is read as a number
    if not backbone.ships:
        assert (probe(backbone, TASKS[0].x).apart is not None) == in_turn
    for one, other in zip(alone, together, strict=True):
        for key, each in one.tensors.items():
            np.testing.assert_allclose(other.tensors[key], each, rtol=1e-4, atol=1e-5)
        for key, each in one.masks.items():
            assert (other.masks[key] == each).mean() > 0.99


@pytest.mark.parametrize("name", BACKBONES)
def test_an_image_is_answered_alike_whatever_is_beside_it(name):
    backbone, task = BACKBONES[name](), Colours()
    (found,) = train(backbone, [task], CONFIG)
    weights = backbone.of_task(found.masks, found.tensors)
    with torch.no_grad():
        alone, of_8, of_64 = (backbone.run(task.x[:n], weights)[0] for n in (1, 8, 64))
    np.testing.assert_allclose(of_8, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_64, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "assigned"])
def test_gradients_reach_the_statistics(name):
    """Where PyTorch's layers have no gradient for them, by differences in float64."""
    backbone, task = BACKBONES[name](), Colours()
    (found,) = train(backbone, [task], CONFIG)
    weights = backbone.of_task(found.masks, found.tensors)
    module = plain(name, backbone).double().eval()

    def value(tensors: dict[str, torch.Tensor]) -> float:
        with torch.no_grad():
            held = {key: each.double() for key, each in tensors.items()}
            return float(functional_call(module, held, task.x[:7].double()).logsumexp(1).sum())

    def of_one(own: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return backbone.run(x[None], weights | own).logsumexp(1).sum()

    own = {key: weights[key] for key in backbone.kept_tensors}
    each = vmap(grad(of_one), in_dims=(None, 0))(own, task.x[:7])
    generator = torch.Generator().manual_seed(0)
    for key, start in own.items():
        leaf = start.clone().requires_grad_()
        with backbone.holding(weights | {key: leaf}):
            (slope,) = torch.autograd.grad(backbone.forward(task.x[:7]).logsumexp(1).sum(), leaf)
        np.testing.assert_allclose(each[key].sum(0), slope, rtol=1e-3, atol=1e-4)
        way = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        step = 1e-5
        up, down = (value(weights | {key: start.double() + sign * step * way}) for sign in (1, -1))
        expected = (up - down) / (2 * step)
        assert float((slope.double() * way).sum()) == pytest.approx(expected, rel=1e-2, abs=1e-3)


def test_the_batchs_statistics_stay_what_they_were():
    """The field is not in the recipe of an archive that is as old as the format."""
    assert "statistics" not in recipe("resnet18", "batch").to_json()
    assert recipe("resnet18").to_json()["statistics"] == "running"
    for net in ("resnet18", "bn-2048"):
        older = BackboneRecipe.from_json(recipe(net, "batch").to_json())
        assert older.statistics == "batch"
        backbone = build(older)
        assert not list(backbone.module.named_buffers())
        (found,) = train(backbone, [Colours()], CONFIG)
        assert found.tensors == {}


@pytest.mark.parametrize("name", MODULES)
def test_frozen_statistics_are_the_modules_own(name):
    """In training as in evaluation: those of the module that was handed in."""
    module, task = MODULES[name](), Colours()
    generator = torch.Generator().manual_seed(3)
    for key, buffer in module.named_buffers():
        if "num_batches" not in key:
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    backbone = Backbone.from_module(module, seed=0, statistics="frozen")
    assert backbone.task_tensors == {}
    (found,) = train(backbone, [task], CONFIG)
    assert found.tensors == {}
    assert all(
        torch.equal(a, b) for a, b in zip(backbone.module.buffers(), module.buffers(), strict=True)
    )
    weights = backbone.masked(backbone.tensors(found.masks))
    expected = functional_call(
        module.eval(), {**dict(backbone.module.named_parameters()), **weights}, task.x
    )
    for training in (False, True):
        torch.testing.assert_close(backbone.run(task.x, weights, training=training), expected)


def test_over_trained_weights():
    """Those of the weights, which running ones begin at and frozen ones are."""
    module, task = MODULES["batch norm"](), Colours()
    for _ in range(3):
        module(task.x[:50])
    module.eval()
    for statistics in ("running", "frozen"):
        backbone = Backbone.pretrained(module, statistics=statistics)
        masks = {key: np.ones(shape, bool) for key, shape in backbone.layout.shapes.items()}
        begun = {key: each.numpy() for key, each in backbone.kept_tensors.items()}
        assert set(begun) == ({*buffers(module)} if statistics == "running" else set())
        assert all((each == module.get_buffer(key).numpy()).all() for key, each in begun.items())
        with torch.no_grad():
            found = backbone.run(task.x, backbone.of_task(masks, begun))
            torch.testing.assert_close(found, module(task.x))
    seeded = Backbone.from_module(module, seed=0, statistics="running")
    assert not seeded.kept_tensors["1.running_mean"].any(), "of other weights: from 0 and 1"
    assert (seeded.kept_tensors["1.running_var"] == 1).all()


@pytest.mark.parametrize("net", ["resnet18", "bn-2048"])
def test_a_weights_file_brings_its_statistics(net, tmp_path):
    module = make_module(recipe(net), allow_code=False)
    module(Colours().x[:50])
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    for statistics in ("running", "frozen"):
        made = build(replace(recipe(net, statistics), weights=tmp_path / "w.safetensors"))
        for key, each in buffers(module).items():
            np.testing.assert_array_equal(made.module.get_buffer(key), each)
        assert bool(made.task_tensors) == (statistics == "running")


def test_statistics_that_are_not_finite_are_no_tasks():
    class Wild(nn.BatchNorm1d):
        def forward(self, x):
            if self.training:
                self.running_var *= math.inf
            return x

    backbone = Backbone.from_module(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 9), Wild(9), nn.Linear(9, 5)),
        seed=0,
        statistics="running",
    )
    with pytest.raises(TrainingDiverged, match="tensor '2.running_var' is not finite"):
        list(train(backbone, [Colours()], CONFIG))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "expected float32 of shape .9,., got none"),
        ({"more": np.zeros(2, np.float32)}, "tensor 'more' of a task: expected none, got float32"),
        (
            {"2.running_mean": np.zeros(8, np.float32)},
            "expected float32 of shape .9,., got float32 of",
        ),
        ({"2.running_mean": np.zeros(9, np.int32)}, "got int32 of shape"),
    ],
)
def test_tensors_of_another_network(wrong, message):
    backbone = from_module("without scales")
    right = {key: each.numpy() for key, each in backbone.kept_tensors.items()}
    masks = {key: np.ones(shape, bool) for key, shape in backbone.layout.shapes.items()}
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        backbone.of_task(masks, right | wrong if wrong else {})


def test_unknown_statistics():
    for make in (
        lambda: recipe("resnet18", "runing"),
        lambda: from_module("batch norm", "runing"),
    ):
        with pytest.raises(InvalidInput, match="statistics: expected one of .* did you mean"):
            make()


def test_a_network_without_normalisation_has_none():
    backbone = build(BackboneRecipe.from_json(small_lenet().to_json() | {"statistics": "running"}))
    assert backbone.task_tensors == {}


def saved(module: nn.Module, path, leave_out: str = "nothing"):
    """A weights file of it, its statistics moved."""
    module.train()(torch.randn(50, 48).view(50, 3, 4, 4) + 1)
    state = {k: v.contiguous() for k, v in module.state_dict().items() if leave_out not in k}
    save_file(state, path)
    return path


def flat_normed(outputs: int) -> nn.Module:
    return MODULES["another momentum"]()


def map_unnormed(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, outputs))


DEFAULTS = {
    "a paper's MNIST net": ("bn-2048", None, "batch"),
    "a residual net": ("resnet18", None, "running"),
    "linear layers": ("lenet-300-100", None, "batch"),
    "a user's net": (f"{__name__}:flat_normed", None, "running"),
    "a user's net without any": (f"{__name__}:map_unnormed", None, "batch"),
    "over trained weights": (f"{__name__}:flat_normed", ("*",), "frozen"),
    "of which some are trained": (f"{__name__}:flat_normed", ("1.*",), "running"),
}


@pytest.mark.parametrize("what", DEFAULTS)
def test_what_it_is_where_nobody_says(what, tmp_path):
    net, patterns, expected = DEFAULTS[what]
    options = recipe(net).options if ":" not in net and net != "lenet-300-100" else {}
    asked = BackboneRecipe(net=net, outputs=5, options=options)
    if patterns is not None:
        path = saved(flat_normed(5), tmp_path / "trained.safetensors")
        asked = replace(asked, weights=WeightsFile.of(path, parameters=patterns))
    backbone = build(asked, allow_code=True)
    assert backbone.statistics == backbone.recipe.statistics == expected
    kept = backbone.recipe.to_json()
    assert kept.get("statistics", "batch") == expected
    again = BackboneRecipe.from_json(json.loads(json.dumps(kept)))
    assert build(again, allow_code=True, beside=[tmp_path]).digest == backbone.digest


def test_of_a_module_where_nobody_says(tmp_path):
    module = flat_normed(5)
    assert Backbone.from_module(module, seed=0).statistics == "running"
    assert Backbone.pretrained(module).statistics == "frozen"
    path = saved(module, tmp_path / "w.safetensors", leave_out="running_var")
    assert Backbone.pretrained(module, weights=path).statistics == "running"
    assert Backbone.from_module(map_unnormed(5), seed=0).statistics == "batch"
    with pytest.raises(InvalidInput, match="lacks '2.running_var'"):
        Backbone.pretrained(module, weights=path, statistics="frozen")
    with pytest.raises(InvalidInput, match="lacks '2.running_mean'"):
        Backbone.pretrained(module, parameters=("1.*",), statistics="frozen")


def test_an_archive_that_says_nothing_has_the_batchs():
    """As before there was a choice, also of nets that have running ones now."""
    kept = BackboneRecipe(net="resnet18", outputs=5, statistics="batch").to_json()
    assert "statistics" not in kept
    assert BackboneRecipe.from_json(kept).statistics == "batch"
