"""Training beside a plain autograd loop, and with storing beside without, in turns.

``--parts`` runs some of the parts and keeps the others' figures. ``lenet`` and ``storing`` need
MNIST in ``SUPSUP_DATA``. What is compared runs in turns, so that what else the machine does falls
on all; figures are CPU seconds of one process, and ratios are medians over the rounds.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_loop import Ours, Plain, as_pytorch_does
from benchmarks.results import save_results, saved_results
from benchmarks.textures import WAYS, texture_tasks
from benchmarks.turns import Step, in_turns, many, seconds_of, spread
from maskstore.parallel import THREADS
from supsup import Backbone, BackboneRecipe, TensorTask, TrainConfig, build, train
from supsup.archives import create_archive, iter_train_into
from supsup.datasets import load
from supsup.networks import resnet
from supsup.tasks import make_task, task_family
from supsup.tasks.protocol import TaskData
from supsup.training import sparse_batch
from supsup.training.sparse_batch import SparseBatch

PARTS = ("conv", "norm", "lenet", "shares", "storing")
LENET = TrainConfig(steps=1000, optimizer="rmsprop", lr=1e-4, schedule="constant")
CONV = TrainConfig(steps=41, rule="topk", density=0.3, optimizer="adam", lr=0.01)
FAMILIES = ("permuted-mnist", "rotated-mnist", "split-mnist")
NOISY = "digits under noise"
"""The first task of SplitMNIST with noise on every pixel, so that no number is common."""
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
OUTPUTS = 500


def measure_conv(*, rounds: int, width: int | None = None) -> dict[str, Any]:
    """The paper's ResNet-18 on a task of textures, a step of each at a time."""
    task = next(texture_tasks())
    options = {} if width is None else {"width": width}
    recipe = BackboneRecipe(net="resnet18", outputs=WAYS, options=options, statistics="batch")
    config = replace(CONV, steps=rounds + 1)
    ours, plain, last = Ours(recipe, task, config), *(Plain(recipe, task, config) for _ in "12")
    plain.x = plain.x.contiguous()
    runs = {
        "ours": ours.step,
        "plain": as_pytorch_does(plain.step),
        "plain, channels last": as_pytorch_does(last.step),
        "a product of 1,536 by 1,536": square_product(1536),
    }
    flops = flops_of(as_pytorch_does(last.step))
    found = in_turns(runs, rounds)
    seconds = {name: each["median"] for name, each in found["cpu_seconds"].items()}
    product = 2 * 1536**3 / seconds["a product of 1,536 by 1,536"]
    return {
        "net": recipe.net,
        "weights": ours.backbone.layout.bits,
        "batch": config.batch,
        "unit": "a step",
        **found,
        "gflops_a_step": round(flops / 1e9, 2),
        "gflops_a_second": round(flops / seconds["ours"] / 1e9, 1),
        "gflops_a_second_of_the_product": round(product / 1e9, 1),
        "accuracy": {
            "ours": ours.accuracy(),
            "plain": as_pytorch_does(plain.accuracy)(),
        },
    }


def measure_norm(*, rounds: int) -> dict[str, Any]:
    """Errors of normalisation beside float64, and what the update of ResNet-18 takes."""
    generator = torch.Generator().manual_seed(0)
    shape = (32, 20, 32, 32)
    first = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu").relu()
    last = resnet.channels_last(first)
    norm = nn.BatchNorm2d(shape[1], affine=False, track_running_stats=False)
    exact = norm(first.double())
    found = {
        "ours, channels last": resnet.normalised(norm, last, relu=False),
        "PyTorch, channels last": norm(last),
        "PyTorch, channels first": norm(first),
    }
    recipe = BackboneRecipe(net="resnet18", outputs=WAYS, statistics="batch")
    training = Ours(recipe, next(texture_tasks()), CONV)
    training.step()
    seconds = [seconds_of(training.update, time.process_time) for _ in range(rounds)]
    return {
        "shape": shape,
        "error": {
            name: float((each.double() - exact).norm() / exact.norm())
            for name, each in found.items()
        },
        "update_cpu_seconds": spread(seconds),
    }


def square_product(side: int) -> partial[Tensor]:
    """What this machine can do at most: one large matrix product."""
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(side, side, generator=generator, dtype=torch.float32, device="cpu")
    return partial(torch.mm, a, a, out=torch.empty_like(a))


def flops_of(work: Step) -> int:
    """Floating-point operations of convolutions and products."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def first_task(family: str) -> tuple[TaskData, float]:
    """The first task of a family, and the share of its inputs that are not the commonest one."""
    recipe = task_family("split-mnist" if family == NOISY else family, 1)[0]
    task: TaskData = make_task(recipe, load(recipe.dataset, quiet=True))
    if family == NOISY:
        (x, y), tests = (
            task.train_batch(torch.arange(task.train_size)),
            list(task.test_batches(500)),
        )
        generator = torch.Generator().manual_seed(0)
        noise = partial(torch.randn, generator=generator, dtype=torch.float32, device="cpu")
        test_x, test_y = torch.cat([x for x, _ in tests]), torch.cat([y for _, y in tests])
        train_pair = (x + 0.1 * noise(x.shape), y)
        task = TensorTask(
            NOISY, train=train_pair, test=(test_x + 0.1 * noise(test_x.shape), test_y)
        )
    x, _ = task.train_batch(torch.arange(min(task.train_size, 10_000)))
    assert isinstance(x, Tensor)
    return task, float((x != x.flatten().mode().values).float().mean())


def measure_lenet(family: str, *, rounds: int, steps: int) -> dict[str, Any]:
    """The first task of a family, some steps of each at a time; the bare products beside."""
    task, share = first_task(family)
    net = BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS)
    ours, plain = Ours(net, task, LENET), Plain(net, task, LENET)
    runs = {
        "ours": many(ours.step, steps),
        "plain": many(plain.step, steps),
        "matrix products alone": many(bare_products(ours.backbone, LENET.batch), steps),
    }
    return {
        "family": family,
        "share": round(share, 3),
        "net": net.net,
        "outputs": OUTPUTS,
        "unit": f"{steps} steps",
        **in_turns(runs, rounds),
        "accuracy": {"ours": ours.accuracy(), "plain": plain.accuracy()},
    }


def bare_products(backbone: Backbone, batch: int) -> Step:
    """The matrix products of a step and nothing else, each into memory that is there."""
    weights = list(backbone.weights.values())
    gradients = [torch.empty_like(weight) for weight in weights]
    widths = [weights[0].shape[1], *(len(weight) for weight in weights)]
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.rand(batch, each, generator=generator, dtype=torch.float32, device="cpu")
        for each in widths
    ]
    out = [torch.empty_like(each) for each in inputs]

    def step() -> float:
        for at, weight in enumerate(weights):
            torch.mm(inputs[at], weight.T, out=out[at + 1])
        for at in reversed(range(len(weights))):
            torch.mm(inputs[at + 1].T, inputs[at], out=gradients[at])
            if at:
                torch.mm(inputs[at + 1], weights[at], out=out[at])
        return 0.0

    return step


def measure_shares(*, rounds: int, repeats: int) -> list[dict[str, Any]]:
    """The first layer's two products with images of which so many numbers are not the commonest.

    Beside the matrix products, made by the same numbers; random places, batches of 128.
    """
    batch, inputs, units = LENET.batch, 784, 300
    generator = torch.Generator().manual_seed(0)
    make = partial(torch.rand, generator=generator, dtype=torch.float32, device="cpu")
    weight, pull, gradient = make(inputs, 304), make(batch, units), torch.zeros(inputs, 304)
    weight[:, units:] = 0
    found = []
    for share in SHARES:
        x = make(batch, inputs) * (make(batch, inputs) < share)
        most, sparse_batch.MOST = sparse_batch.MOST, 1.0
        sparse = SparseBatch(batch, inputs)
        sparse_batch.MOST = most

        def by_the_others(x: Tensor = x, sparse: SparseBatch = sparse) -> float:
            assert sparse.take(x)
            sparse.times(weight, None)
            sparse.gradient(pull, gradient)
            return 0.0

        def by_all(x: Tensor = x) -> float:
            torch.mm(x, weight[:, :units])
            torch.mm(x.T, pull, out=gradient[:, :units])
            return 0.0

        runs = {"sparse": many(by_the_others, repeats), "dense": many(by_all, repeats)}
        found.append({"share": share, "unit": f"{repeats} times", **in_turns(runs, rounds)})
    return found


def measure_storing(*, rounds: int, tasks: int, steps: int) -> dict[str, Any]:
    """Tasks trained on all cores and kept in memory, and the same with each mask stored."""
    recipes = task_family("permuted-mnist", tasks)
    digits = load("mnist", quiet=True)
    some = [make_task(recipe, digits) for recipe in recipes]
    config = replace(LENET, steps=steps)
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS))
    clock: dict[str, list[float]] = {"without": [], "with": []}

    def without() -> None:
        start = time.perf_counter()
        assert len(list(train(backbone, some, config))) == tasks
        clock["without"].append(time.perf_counter() - start)

    def storing() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            create_archive(Path(folder, "a.h5"), backbone, config) as archive,
        ):
            start = time.perf_counter()
            assert len(list(iter_train_into(archive, backbone, some, config))) == tasks
            clock["with"].append(time.perf_counter() - start)

    found = in_turns({"with": storing, "without": without}, rounds)
    clock = {name: each[1:] for name, each in clock.items()}
    rates = [a / b for a, b in zip(clock["without"], clock["with"], strict=True)]
    return {
        "net": "lenet-300-100",
        "outputs": OUTPUTS,
        "tasks": tasks,
        "steps": steps,
        "threads": torch.get_num_threads(),
        "coding_threads": THREADS,
        **found,
        "clock_seconds": {name: spread(each) for name, each in clock.items()},
        "throughput_by_the_clock": spread(rates),
    }


def main() -> None:
    """Measure the parts that are asked for; about a quarter of an hour in all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parts = parser.parse_args().parts
    figures = {name: saved_results("training_pace").get(name) for name in PARTS}
    for part in parts:
        torch.set_num_threads(1)
        if part == "conv":
            figures[part] = measure_conv(rounds=40)
        elif part == "norm":
            figures[part] = measure_norm(rounds=20)
        elif part == "lenet":
            figures[part] = [
                measure_lenet(each, rounds=10, steps=100) for each in (*FAMILIES, NOISY)
            ]
        elif part == "shares":
            figures[part] = measure_shares(rounds=10, repeats=100)
        else:
            torch.set_num_threads(os.cpu_count() or 1)
            figures[part] = [
                measure_storing(rounds=10, tasks=4, steps=steps) for steps in (1000, 200)
            ]
        figures[part] = {"load_average": os.getloadavg(), "measured": figures[part]}
        save_results("training_pace", {"torch": torch.__version__, **figures})


if __name__ == "__main__":
    main()
