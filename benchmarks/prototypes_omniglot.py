"""Alphabets of Omniglot as tasks: whose is one character, and is its alphabet known at all?

    SUPSUP_DATA=DIR python -m benchmarks.prototypes_omniglot

The eight alphabets of the two small background sets, each a task whose classes are its characters,
as many of each as the smallest has, since One-Shot and the hybrid refuse tasks of different numbers
of classes; pictures of 28 × 28, 15 drawers to learn from, 5 to test on. Masks cover the small
convolutional network of :mod:`benchmarks.omniglot`, with what was chosen there. Each alphabet is
then left out in turn: its test images are the strangers, those of the others are known.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.near_strangers import area
from benchmarks.omniglot import DRAWERS, LEARNT, alphabets, network
from benchmarks.prototypes import summary
from benchmarks.results import save_results
from maskstore import archive_stats
from maskstore.seeded.streams import permutation
from supsup import SupSup, TensorTask, TrainConfig, train
from supsup.archives.training import append
from supsup.inference.prototypes import FeatureRecipe, add_prototypes

SEEDS, SIZES, STEPS, BATCH, LR = (11, 12, 13), (248, 1000), 200, 60, 3e-3
METHODS = ("one-shot", "exhaustive", "hybrid")


def main() -> None:
    """Measure and write docs/results/prototypes_omniglot.json, seed by seed."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        rows.append({"seed": seed, **measure(tasks_of(seed), seed)})
        names = [name for name, value in rows[0].items() if isinstance(value, float)]
        means = {name: summary([row[name] for row in rows]) for name in names}
        about = {"steps": STEPS, "batch": BATCH, "lr": LR, "means": means, "runs": rows}
        save_results("prototypes_omniglot", about, quiet=True)
        print(means, flush=True)


def tasks_of(seed: int) -> list[TensorTask]:
    """A task for each alphabet; who is learnt from, and of which characters, by the seed."""
    drawers = permutation(seed, "omniglot/drawers", DRAWERS)
    tasks = []
    ways = min(len(images) for images in alphabets().values())
    for name, every in alphabets().items():
        images = every[permutation(seed, f"omniglot/{name}", len(every))[:ways]]
        parts = [
            (images[:, who].reshape(-1, 1, 28, 28), np.repeat(np.arange(len(images)), len(who)))
            for who in (drawers[:LEARNT], drawers[LEARNT:])
        ]
        tasks.append(TensorTask(name, train=parts[0], test=parts[1], classes=len(images)))
    return tasks


def measure(tasks: Sequence[TensorTask], seed: int) -> dict[str, Any]:
    """Task found and accuracy by each method; areas for each alphabet that is left out."""
    backbone = network(seed, "signed-constant", max(task.classes for task in tasks))
    config = TrainConfig(steps=STEPS, batch=BATCH, optimizer="adam", lr=LR, seed=seed)
    trained = list(train(backbone, tasks, config, parallel=1))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        with SupSup.create(Path(folder) / "all.h5", backbone) as model:
            list(append(model.archive, trained))
            given = model.evaluate(tasks).per_task
            found["accuracy, task given"] = mean([row.accuracy for row in given])
            for method in METHODS:
                found |= shares(model, tasks, method, method)
            for size in SIZES:
                measured(model, tasks, size, seed)
                found |= shares(model, tasks, "prototypes", f"prototypes, {size}")
                told = archive_stats(model.archive)
                found[f"bytes a class, {size}"] = (
                    told.tensor_bytes_per_task * len(tasks) / sum(task.classes for task in tasks)
                )
                found[f"bytes of all, {size}"] = float(told.shared_bytes)
        for left in range(len(tasks)):
            there = [at for at in range(len(tasks)) if at != left]
            path = Path(folder) / f"{left}.h5"
            with SupSup.create(path, backbone) as model:
                list(append(model.archive, [trained[at] for at in there]))
                for name, score in strangers(model, tasks, there, left, seed).items():
                    found.setdefault(name, []).append(score)
    return {name: mean(each) if isinstance(each, list) else each for name, each in found.items()}


def measured(model: SupSup, tasks: Sequence[TensorTask], size: int, seed: int) -> None:
    """Prototypes of so many features for all tasks."""
    recipe = FeatureRecipe(size=size, seed=seed)
    add_prototypes(model.archive, model.backbone, tasks, recipe, rebuild=True)


def shares(model: SupSup, tasks: Sequence[TensorTask], method: str, name: str) -> dict[str, float]:
    """Of single test images: whose task was found, and whose class besides."""
    rows = model.evaluate(tasks, "GNu", method=method).per_task
    return {
        f"{name}: task found": mean([row.task_accuracy for row in rows]),
        f"{name}: accuracy": mean([row.accuracy for row in rows]),
    }


def strangers(
    model: SupSup, tasks: Sequence[TensorTask], there: Sequence[int], left: int, seed: int
) -> dict[str, float]:
    """Score → area, of images of the alphabet left out against those of the others."""
    images = [next(iter(tasks[at].test_batches(10_000)))[0] for at in (*there, left)]
    areas = {}
    energy = [model.infer(x, method="exhaustive").energy for x in images]
    areas["area: energy"] = area(energy[-1], np.concatenate(energy[:-1]))
    for size in SIZES:
        measured(model, [tasks[at] for at in there], size, seed)
        strange = [model.infer(x, method="prototypes").strangeness for x in images]
        known = np.concatenate(strange[:-1])
        areas[f"area: prototypes, {size}"] = area(strange[-1], known)
        areas[f"known called unknown, {size}"] = float((known > 1).mean())
        areas[f"strangers called unknown, {size}"] = float((strange[-1] > 1).mean())
    return areas


def mean(values: Sequence[float]) -> float:
    """As a plain number."""
    return float(np.mean(values))


if __name__ == "__main__":
    main()
