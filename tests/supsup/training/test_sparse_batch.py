"""Products with sparse images against float64, and batches of grey images against their task's."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskstore.seeded.scores import ScoreStart
from supsup import TrainConfig, build, train
from supsup.datasets import load
from supsup.masking import Threshold
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks import Task, make_task, task_family
from supsup.tasks.pixel_map import PixelMap
from supsup.training.batches import batches_for, sparse_batches_for
from supsup.training.buffers import Buffers
from supsup.training.fused_updates import FUSED, turned_for
from supsup.training.gradients import gradients_of
from supsup.training.grey_batches import are_grey
from supsup.training.sparse_batch import MOST, SparseBatch
from supsup.training.updates import refresh
from tests.supsup.helpers import sequential_net, small_lenet
from tests.supsup.training.test_gradients import by_autograd, some_batch

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def some_images(share: float, black: float, images: int = 40, inputs: int = 70) -> torch.Tensor:
    make = torch.Generator().manual_seed(3)
    x = torch.randn(images, inputs, generator=make)
    return torch.where(torch.rand(x.shape, generator=make) < share, x, torch.tensor(black))


def taken(x: torch.Tensor) -> SparseBatch:
    found = SparseBatch(*x.shape)
    assert found.take(x)
    return found


def columns_of(weight: torch.Tensor) -> torch.Tensor:
    """As buffers have them: a column after another, each with zeros behind."""
    units, inputs = weight.shape
    columns = torch.zeros(inputs, -(-units // 16) * 16)
    columns[:, :units] = weight.T
    return columns


@pytest.mark.parametrize("black", [0.0, -0.4242])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.3])
def test_images_come_back(share, black):
    x = some_images(share, black)
    torch.testing.assert_close(taken(x).dense(), x, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("black", [0.0, -0.4242])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.3])
def test_products_are_as_accurate_as_matrix_products(share, black, biased):
    x = some_images(share, black, 128, 784)
    make = torch.Generator().manual_seed(4)
    weight = torch.randn(300, 784, generator=make)
    bias = torch.randn(300, generator=make) if biased else None
    pull = torch.randn(128, 300, generator=make)
    found = taken(x)
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    out = found.times(columns_of(weight), bias)
    assert (out[:, 300:] == 0).all()
    assert error(out[:, :300], exact) < 1.5 * error(F.linear(x, weight, bias), exact) + 1e-7
    columns = torch.full((784, 304), 7.0)
    found.gradient(pull, columns)
    exact = x.double().T @ pull.double()
    assert (columns[:, 300:] == 0).all()
    assert error(columns[:, :300], exact) < 1.5 * error(x.T @ pull, exact) + 1e-7


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Root mean square, of the numbers' own."""
    return float((found.double() - exact).norm() / exact.norm().clamp_min(1e-30))


@pytest.mark.parametrize(
    "x",
    [
        some_images(0.5, 0.0),
        some_images(MOST + 0.05, 0.0),
        some_images(1.0, 0.0),
        torch.full((40, 70), torch.nan),
    ],
    ids=["half", "a little too much", "dense", "nan"],
)
def test_dense_images_are_not_taken(x):
    assert not SparseBatch(*x.shape).take(x)


def test_a_number_that_is_not_finite_is_kept():
    x = some_images(0.1, 0.0)
    x[3, 5] = torch.nan
    out = taken(x).times(columns_of(torch.ones(20, 70)), None)[:, :20]
    assert out[3].isnan().all()
    assert int(out.isnan().sum()) == 20


def test_with_more_threads_fewer_numbers_pay():
    torch.set_num_threads(2)
    assert not SparseBatch(40, 70).take(some_images(0.2, 0.0))
    assert SparseBatch(40, 70).take(some_images(0.1, 0.0))


def some_task(family: str, **options: str) -> Task:
    recipe = task_family(f"{family}-mnist-sample", 2)[1]
    return make_task(replace(recipe, options=options), load("mnist-sample"))


@pytest.mark.parametrize(
    "task",
    [
        some_task("split"),
        some_task("permuted"),
        some_task("rotated"),
        some_task("rotated", sampling="nearest"),
    ],
    ids=["split", "permuted", "rotated", "nearest"],
)
def test_batches_of_grey_images_are_those_of_the_task(task):
    config = TrainConfig(steps=1, batch=100)
    plain = islice(batches_for([task], config, CPU), 30)
    sparse = islice(sparse_batches_for([task], config, CPU), 30)
    for (x, y), (few, same) in zip(plain, sparse, strict=True):
        assert isinstance(few, SparseBatch)
        assert torch.equal(few.dense(), x[0])
        assert torch.equal(same, y)


def test_images_of_much_light_come_as_they_are():
    task = some_task("permuted")
    light = replace(task, train_images=255 - task.train_images)
    config = TrainConfig(steps=1, batch=50)
    x, _ = next(sparse_batches_for([light], config, CPU))
    assert torch.equal(x, next(batches_for([light], config, CPU))[0])


def test_taps_out_of_order_are_left_to_the_task():
    """A sum in another order would have other bits."""
    task = some_task("rotated")
    assert are_grey(task)
    turned = PixelMap(index=task.pixels.index.flip(0), weight=task.pixels.weight.flip(0))
    assert not are_grey(replace(task, pixels=turned))


def turned_buffers(backbone, tasks: int) -> Buffers:
    starts = [ScoreStart(seed=0, stream=f"scores/{at}") for at in range(tasks)]
    plain = Buffers.draw(backbone.layout, starts, CPU, torch.float32)
    config = TrainConfig(steps=1)
    buffers = plain.turn(turned_for(backbone, torch.float32, Threshold(), config))
    assert buffers.turned
    assert torch.equal(buffers.as_in_layout(buffers.scores), plain.scores)
    (frozen,) = buffers.as_here(backbone.flat_weights()[None])
    refresh(buffers, frozen, Threshold())
    return buffers


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("net", ["lenet", "with biases"])
def test_gradients_of_sparse_images_are_those_of_autograd(net, tasks):
    backbone = build(small_lenet()) if net == "lenet" else sequential_net(biases=True)
    buffers, (x, y) = turned_buffers(backbone, tasks), some_batch(tasks, 20)
    for at in range(tasks):  # the middle one of three stays dense
        if at != 1:
            x[at] = some_images(0.2, 0.5, 16, 20)
    losses, gradients = by_autograd(backbone, buffers, x, y)
    found = gradients_of(buffers, backbone)
    torch.testing.assert_close(found.losses(x, y), losses)
    torch.testing.assert_close(buffers.as_in_layout(buffers.gradient), gradients)
    assert [each is not None for each in found._indexed(x)] == [at != 1 for at in range(tasks)]


@pytest.mark.parametrize("optimizer", FUSED)
def test_turned_scores_move_as_others_do(optimizer):
    backbone, config = build(small_lenet()), TrainConfig(steps=1, optimizer=optimizer, lr=0.1)
    starts = [ScoreStart(seed=0, stream=f"scores/{at}") for at in range(2)]
    plain = Buffers.draw(backbone.layout, starts, CPU, torch.float32)
    turned = plain.turn(["fc1.weight"])
    frozen = backbone.flat_weights()
    updates = [FUSED[optimizer](each, frozen, config) for each in (plain, turned)]
    for step in range(5):
        gradient = torch.randn(plain.scores.shape, generator=torch.Generator().manual_seed(step))
        plain.gradient.copy_(gradient)
        turned.gradient.copy_(turned.as_here(gradient))
        for update in updates:
            update.step(0.1, 1.0)
    assert torch.equal(turned.as_in_layout(turned.scores), plain.scores)
    assert torch.equal(turned.as_in_layout(turned.weights), plain.weights)
    assert int(torch.count_nonzero(turned.weights)) == int(torch.count_nonzero(plain.weights))


def test_training_on_sparse_images_is_that_of_a_plain_loop():
    """Twenty steps of RMSprop on digits, by autograd and PyTorch's optimizer."""
    task = some_task("permuted")
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=12))
    config = TrainConfig(steps=20, optimizer="rmsprop", lr=1e-4, schedule="constant", batch=64)
    (trained,) = train(backbone, [task], config)
    start = ScoreStart(seed=0).draw(backbone.layout)
    scores = {n: torch.from_numpy(s).clone().requires_grad_() for n, s in start.items()}
    optimizer = torch.optim.RMSprop(scores.values(), 1e-4)
    rule, losses = Threshold(), []
    for x, y in islice(batches_for([task], config, CPU), 20):
        masks = {name: rule.relax(name, s) for name, s in scores.items()}
        loss = F.cross_entropy(backbone.logits(x[0], masks), y[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert trained.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    for name, layer in scores.items():
        moved = (layer >= 0).numpy() != (start[name] >= 0)
        wrong = (layer >= 0).numpy() != trained.masks[name]
        # Rounding decides where a score ends up next to 0, or a gradient nearly vanishes.
        assert wrong.sum() < 0.01 * moved.sum(), name
