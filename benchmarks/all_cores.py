"""Training on all cores beside plain loops there, by the clock, in turns.

    SUPSUP_DATA=DIR python -m benchmarks.all_cores

As many tasks as there are cores, from the scores at the start to the accuracy on the test images.
The plain loop has its images as floats in memory before the clock runs, and trains either task
after task with PyTorch's threads on all cores, or all tasks at once, a process each. Then many
tasks into an archive, as ``supsup-store train`` does. Only on a machine that does nothing else does
the clock mean anything.
"""

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks.plain_loop import Plain, as_pytorch_does
from benchmarks.results import save_results
from benchmarks.textures import WAYS, texture_tasks
from benchmarks.training_pace import CONV, FAMILIES, LENET, OUTPUTS
from benchmarks.turns import in_turns
from maskstore.codecs import BY_NAME
from supsup import BackboneRecipe, TrainConfig, build, train
from supsup.archives import create_archive, train_into
from supsup.datasets import load
from supsup.tasks import Task, make_task, task_family

CORES = os.cpu_count() or 1
TEXTURES = "textures"
CODED = 20
"""Masks that are coded once more, to see what that takes."""
Place = tuple[str, int]
"""A family of tasks, and which of them."""


def network_of(family: str) -> tuple[BackboneRecipe, TrainConfig]:
    """What a family is trained with."""
    if family == TEXTURES:
        return BackboneRecipe(net="resnet18", outputs=WAYS, statistics="batch"), CONV
    return BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS), LENET


def task_at(place: Place) -> Task:
    """A task."""
    family, at = place
    if family == TEXTURES:
        return next(islice(texture_tasks(), at, None))
    recipe = task_family(family, at + 1)[at]
    return make_task(recipe, load(recipe.dataset, quiet=True))


class PlainTask:
    """A task for the plain loop, its images as floats."""

    def __init__(self, place: Place, steps: int) -> None:
        """Make it ready."""
        network, config = network_of(place[0])
        task, self._steps = task_at(place), steps
        x, y = task.train_batch(torch.arange(task.train_size))
        assert isinstance(x, Tensor)
        config = replace(config, steps=steps)
        self._make = partial(Plain, network, task, config, data=(x.contiguous(), y))

    def run(self) -> float:
        """Train it from its start; its accuracy."""
        plain = self._make()
        for _ in range(self._steps):
            plain.step()
        return plain.accuracy()


_ready: PlainTask | None = None
"""Of a process that trains one task again and again."""


def prepare(place: Place, steps: int) -> None:
    """In a process of its own: one thread, and the task."""
    global _ready
    torch.set_num_threads(1)
    _ready = PlainTask(place, steps)


def run_it() -> float:
    """In that process: train it."""
    assert _ready is not None
    return as_pytorch_does(_ready.run)()


@contextmanager
def processes(family: str, steps: int) -> Iterator[list[ProcessPoolExecutor]]:
    """One for each core, its task ready."""
    pools = [ProcessPoolExecutor(1, get_context("spawn")) for _ in range(CORES)]
    try:
        for at, pool in enumerate(pools):
            pool.submit(prepare, (family, at), steps).result()
        yield pools
    finally:
        for pool in pools:
            pool.shutdown()


def measure(family: str, *, rounds: int, steps: int) -> dict[str, Any]:
    """Seconds by the clock for all tasks, and how many times ours the others take."""
    network, config = network_of(family)
    backbone, config = build(network), replace(config, steps=steps)
    tasks = [task_at((family, at)) for at in range(CORES)]
    alone = [PlainTask((family, at), steps) for at in range(CORES)]
    found: dict[str, list[float]] = {}

    def ours() -> None:
        found["ours"] = [mask.metrics["accuracy"] for mask in train(backbone, tasks, config)]

    def threads() -> None:
        found["plain, threads"] = [as_pytorch_does(each.run)() for each in alone]

    with processes(family, steps) as pools:

        def each_its_own() -> None:
            waiting = [pool.submit(run_it) for pool in pools]
            found["plain, a process a task"] = [each.result() for each in waiting]

        runs = {
            "ours": ours,
            "plain, threads": threads,
            "plain, a process a task": each_its_own,
        }
        measured = in_turns(runs, rounds, clock=time.perf_counter)
    return {
        "family": family,
        "net": network.net,
        "tasks": CORES,
        "steps": steps,
        **measured,
        "accuracies": found,
    }


def measure_stored(family: str, *, tasks: int, steps: int) -> dict[str, Any]:
    """Seconds by the clock for many tasks with everything stored, and those of coding."""
    network, config = network_of(family)
    recipes = task_family(family, tasks)
    data = load(recipes[0].dataset, quiet=True)
    backbone, config = build(network), replace(config, steps=steps)
    with (
        TemporaryDirectory() as folder,
        create_archive(Path(folder, "a.h5"), backbone, config) as archive,
    ):
        before, used = time.perf_counter(), time.process_time()
        some = (make_task(recipe, data) for recipe in recipes)
        train_into(archive, backbone, some, config)
        seconds, used = time.perf_counter() - before, time.process_time() - used
        codec, prior = BY_NAME["seeded"], archive.prior
        masks = [(archive.get_packed(each.name), each.metadata) for each in archive]
        before = time.process_time()
        for packed, metadata in masks[:CODED]:
            codec.encode(packed, prior.of_task(metadata))
        coding = (time.process_time() - before) / len(masks[:CODED])
        accuracy = fmean(float(task.metadata["metrics"]["accuracy"]) for task in archive)
    return {
        "family": family,
        "net": network.net,
        "outputs": network.outputs,
        "tasks": tasks,
        "steps": steps,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used, 2),
        "cpu_seconds_of_coding_a_mask": round(coding, 4),
        "share_of_coding": round(coding * tasks / used, 4),
        "minutes_for_2500_at_this_pace": round(seconds / tasks * 2500 / 60, 1),
        "accuracy": round(accuracy, 4),
    }


def main() -> None:
    """Write docs/results/all_cores.json; a quarter of an hour on two cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stored", type=int, default=120, help="tasks of the archive")
    parser.add_argument("--steps", type=int, default=1000, help="of LeNet's tasks")
    given = parser.parse_args()
    torch.set_num_threads(CORES)
    rows = [measure(each, rounds=given.rounds, steps=given.steps) for each in FAMILIES]
    rows.append(measure(TEXTURES, rounds=given.rounds, steps=CONV.steps or 1))
    save_results(
        "all_cores",
        {
            "torch": torch.__version__,
            "cores": CORES,
            "load_average": os.getloadavg(),
            "families": rows,
            "stored": measure_stored("permuted-mnist", tasks=given.stored, steps=given.steps),
        },
    )


if __name__ == "__main__":
    main()
