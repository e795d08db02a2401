"""Parameters of each task's own, trained with its mask: against plain PyTorch in a naive loop."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from maskstore.errors import InvalidInput
from maskstore.seeded.scores import ScoreStart
from maskstore.tensors import BFloat16
from supsup import BackboneRecipe, TensorTask, TrainConfig, build, train
from supsup.evaluation.score import accuracy
from supsup.networks import Backbone
from supsup.networks.linear_chain import chain_of
from supsup.networks.per_task import plain, read_own, rounded
from supsup.networks.probe import probe
from supsup.tasks.order import batches
from supsup.training.batches import held_out_of
from supsup.training.group import train_group
from tests.supsup.helpers import as_users_run_it, small_bn
from tests.supsup.networks.norms import Colours
from tests.supsup.networks.own_nets import BACKBONES, NET, named

CONFIG = TrainConfig(steps=6, batch=24, lr=0.05, per_task_lr=0.01)
TASKS = [Colours(0), Colours(1)]


def naive(backbone: Backbone, task: Colours, metadata: dict) -> torch.nn.Module:
    """The module after SGD on the scores and PyTorch's Adam on what is the task's own."""
    module = copy.deepcopy(backbone.module).train()
    own = {key: each.clone().requires_grad_() for key, each in backbone.own_parameters.items()}
    adam = torch.optim.Adam(list(own.values()), CONFIG.per_task_lr)
    start = ScoreStart.from_json(metadata["scores"])
    scores = {key: torch.from_numpy(each) for key, each in start.draw(backbone.layout).items()}
    speed = {key: torch.zeros_like(each) for key, each in scores.items()}
    order = batches(
        CONFIG.seed, task.name, task.train_size, CONFIG.batch, task.device,
        held_out=held_out_of(task),
    )  # fmt: skip
    for step in range(CONFIG.steps):
        x, y = task.train_batch(next(order))
        weights = {k: (w * (scores[k] >= 0)).requires_grad_() for k, w in backbone.weights.items()}
        adam.zero_grad()
        F.cross_entropy(functional_call(module, {**weights, **own}, x), y).backward()
        share = 0.5 * (1 + np.cos(np.pi * step / CONFIG.steps))
        for key, w in backbone.weights.items():
            speed[key] = CONFIG.momentum * speed[key] + weights[key].grad * w
            scores[key] = scores[key] - CONFIG.lr * share * speed[key]
        adam.param_groups[0]["lr"] = CONFIG.per_task_lr * share
        adam.step()
    for key, w in backbone.weights.items():
        module.get_parameter(key).data = w * (scores[key] >= 0)
    for key, each in own.items():
        module.get_parameter(key).data = each.detach()
    return module.eval()


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "dropout"])
def test_trained_as_by_a_naive_loop(name):
    """The same numbers to rounding, rows of the task's classes only, the module left as it was."""
    backbone = BACKBONES[name]()
    digest = backbone.digest
    for task, found in zip(TASKS, train(backbone, TASKS, CONFIG), strict=True):
        module = naive(backbone, task, found.metadata)
        assert found.tensors.keys() == backbone.kept_tensors.keys()
        heads = backbone.probed.heads
        for key in found.tensors:
            expected = module.state_dict()[key].numpy()
            expected = expected[: task.classes] if key in heads else expected
            np.testing.assert_allclose(
                found.tensors[key], expected, rtol=1e-4, atol=2e-5, err_msg=key
            )
            begun = backbone.kept_tensors[key].numpy()[: len(expected)]
            assert np.abs(expected - begun).max() > 1e-3, "it has moved"
        with torch.no_grad():
            logits = backbone.run(task.x, backbone.of_task(found.masks, found.tensors))
            whole = module(task.x)
        assert logits.shape[1] == (task.classes if heads else 5)
        np.testing.assert_allclose(logits, whole[:, : logits.shape[1]], rtol=1e-3, atol=1e-3)
        right = (logits[96:, : task.classes].argmax(1) == task.y[96:]).float().mean()
        assert found.metrics["accuracy"] == pytest.approx(float(right))
    del backbone.digest
    assert backbone.digest == digest


@pytest.mark.parametrize("name", BACKBONES)
def test_several_in_a_step_as_alone(name):
    backbone = BACKBONES[name]()
    alone = list(train(backbone, TASKS, CONFIG, parallel=1))
    together = train_group(backbone, TASKS, CONFIG, rows=3, report=print, stopped=lambda: False)
    if not backbone.ships:
        assert (probe(backbone, TASKS[0].x).apart is not None) == (name == "dropout")
    for one, other in zip(alone, together, strict=True):
        assert one.tensors.keys() == other.tensors.keys()
        for key, each in one.tensors.items():
            np.testing.assert_allclose(other.tensors[key], each, rtol=1e-3, atol=1e-4)
        for key, each in one.masks.items():
            assert (other.masks[key] == each).mean() > 0.99


def test_the_closed_forms_leave_such_networks_to_autograd():
    assert chain_of(BACKBONES["a net that ships"]()) is None


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("a net that ships", ("fc3.weight",)),
        ("head, scales and biases", ("head.weight", "head.bias")),
        ("biases alone", ()),  # of the weight all rows are there
        ("beside running statistics", ("4.weight", "4.bias")),
    ],
)
def test_heads_are_found_by_asking(name, heads):
    assert probe(BACKBONES[name](), TASKS[0].x).heads == heads


def test_outliers_keep_the_rows_that_they_fall_on():
    config = TrainConfig(steps=2, batch=50, outliers=0.1)
    (found,) = train(named(("head.*",)), TASKS[:1], config)
    assert found.tensors["head.weight"].shape == (5, 12)


def test_where_they_start():
    """Scales at 1, shifts and biases at 0, matrices from the seed; masks cover none of them."""
    backbone = named(("head.*", "norm.*", "*.bias"))
    plain_net = build(BackboneRecipe(net=NET, outputs=5), allow_code=True)
    assert set(backbone.layout.shapes) == {"trunk.weight"}
    own = backbone.own_parameters
    assert bool((own["norm.weight"] == 1).all())
    assert not any(own[f"{part}.bias"].any() for part in ("norm", "trunk", "head"))
    assert torch.equal(own["head.weight"], plain_net.module.head.weight)


def test_masks_cover_what_a_pattern_names_but_for_what_is_per_task():
    backbone = named(("head.*",), maskable=["*.weight"])
    assert set(backbone.layout.shapes) == {"trunk.weight", "norm.weight"}
    assert backbone.recipe.to_json()["maskable"] == ["*.weight"]
    assert build(backbone.recipe, allow_code=True).layout == backbone.layout
    with pytest.raises(InvalidInput, match="maskable: no parameter '\\*.adapter'.*trunk.weight"):
        named((), maskable=["*.adapter"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_rounded_before_it_is_tested(dtype):
    """What is kept is nearest to what was trained, and what was measured is what is kept."""
    backbone = BACKBONES["head, scales and biases"]()
    exact, found = (
        next(train(backbone, TASKS[:1], TrainConfig(steps=6, batch=24, per_task_dtype=each)))
        for each in ("float32", dtype)
    )
    read = read_own(backbone.own_parameters, found.tensors, "test")
    for key, begun in backbone.own_parameters.items():
        value, trained = read[key], torch.from_numpy(exact.tensors[key])
        start = begun[: len(value)]
        if dtype == "int8":
            step = (trained - start).abs().max() / 127
            expected = start + step * ((trained - start) / step).round()
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)
            assert found.tensors[key].dtype == np.int8
        else:
            assert torch.equal(value, trained.to(getattr(torch, dtype)).float())
    assert isinstance(found.tensors["norm.bias"], BFloat16) == (dtype == "bfloat16")
    again = accuracy(backbone, found.masks, TASKS[0], tensors=found.tensors)
    assert again == found.metrics["accuracy"]


def test_a_difference_of_nothing_is_nothing():
    start = {"a": torch.ones(3), "b": torch.tensor(2.0)}
    kept = rounded(start, start, "int8")
    assert not any(plain(kept[name]).any() for name in kept)
    assert all(torch.equal(each, start[name]) for name, each in read_own(start, kept, "x").items())
    with pytest.raises(InvalidInput, match="70000 is too large for float16"):
        rounded(start, {"a": torch.full((3,), 7e4)}, "float16")


def test_settings_that_are_none_leave_the_configuration_as_it_was():
    assert not {"per_task_lr", "per_task_dtype"} & TrainConfig(steps=1).to_json().keys()
    config = TrainConfig(steps=1, per_task_lr=1, per_task_dtype="int8")
    assert TrainConfig.from_json(config.to_json()) == config
    assert "per_task" not in BackboneRecipe(net=NET, outputs=2).to_json()


def trained_without_own(**settings) -> list:
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=2, options={"inputs": 8}))
    task = TensorTask("a", train=(torch.ones(4, 8), [0, 1, 0, 1]), test=(torch.ones(2, 8), [0, 1]))
    return list(train(backbone, [task], TrainConfig(steps=1, **settings)))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: named(("heads.*",)), "per_task: no parameter matches 'heads.\\*'.*trunk.weight"),
        (lambda: named((3,)), "per_task: expected patterns of parameter names"),
        (
            lambda: named(("head.*",), maskable=("head.weight",)),
            "'head.weight' is per task, too",
        ),
        (lambda: named(("*",)), "no parameter that a mask could cover"),
        (lambda: build(small_bn(per_task="bn*")), "no parameter that a mask could cover"),
        (lambda: TrainConfig(steps=1, per_task_lr=0), "per_task_lr"),
        (lambda: TrainConfig(steps=1, per_task_dtype="int4"), "per_task_dtype"),
        (lambda: trained_without_own(per_task_lr=0.1), "per_task_lr: tasks of network .* no param"),
        (lambda: trained_without_own(per_task_dtype="int8"), "per_task_dtype: tasks of network"),
    ],
)
def test_what_cannot_be_is_one_line(make, match):
    with as_users_run_it(), pytest.raises(InvalidInput, match=match):
        make()
