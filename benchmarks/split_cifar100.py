"""SplitCIFAR100 with the paper's ResNet-18: accuracy against bytes, the task given.

    python DIR/cifar100/unpack.py npz cifar100.npz
    python -m benchmarks.split_cifar100 --data cifar100.npz --choose
    python -m benchmarks.split_cifar100 --data cifar100.npz --tasks 20 --seeds 0

20 tasks of five classes, dealt by the seed as the paper deals them; a ResNet-18 of 20 channels.
``--data`` is an ``.npz`` of ``x_train, y_train, x_test, y_test``. Every training is a cell of
docs/results/split_cifar100.json, and a run goes on where the last one stopped. Masks are kept under
``.cache`` besides; transfer needs those of earlier tasks, and trains anew what is not there, as
BatchE and heads over a trained trunk do with the first task. ``--choose`` compares rates on a fifth
of the training images of a task of another seed. The table and the picture of what is there are
made by :mod:`benchmarks.split_cifar100_report`. The paper's training: ``--epochs 250 --batch 128
--augment --device cuda``.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cells import Cell, best_cells, measure_missing, require_chosen
from benchmarks.results import saved_results, study_cache
from maskstore import MaskArchive
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import create_archive, train_into
from supsup.archives.network import parse_device
from supsup.baselines import BASELINES, Baseline, BaselineConfig, evaluate_baseline
from supsup.datasets.catalog import find_source
from supsup.datasets.in_memory import Dataset
from supsup.tasks import Task, make_task, task_family

CACHE = study_cache("split_cifar100")
TASKS, WAYS, WIDTH, BATCH, EPOCHS = 20, 5, 20, 32, 2
PRECISION = "bfloat16"
"""Of every arm's products in training; evaluation is in float32. Quicker only where the processor
multiplies such numbers itself, and far slower than ``--precision float32`` elsewhere."""

TRANSFER = ", transfer"
DENSEST = "supsup 0.3"
MASKS: dict[str, dict[str, Any]] = {
    "supsup s=8": {"multiplier": 8.0},
    "supsup s=32": {"multiplier": 32.0},
    DENSEST: {"density": 0.3},
}
"""Arms with masks: the paper's budgets by their s, and one far denser."""
SHARED = ("batche", "separate-heads")
"""Those that keep what the first task trained."""
RATES: dict[str, tuple[tuple[float, float], ...]] = {
    "upper-bound": ((1e-3, 0.0), (3e-3, 0.0)),
    DENSEST: ((3e-3, 0.0), (1e-2, 0.0), (3e-2, 0.0)),
    "batche": ((1e-3, 1e-2), (1e-3, 1e-1)),
    "separate-heads": ((1e-3, 1e-2), (3e-3, 1e-2)),
    "separate-heads-random": ((3e-3, 0.0), (1e-2, 0.0), (3e-2, 0.0)),
}
"""Arm → pairs of Adam's rates that are compared: of masks or weights (of the first task, where it
is shared), and of a later task's vectors or head. Masks of any budget take the rate of the densest.
All have a cosine to 0, but for the trials of those without masks: one rate."""
CHOOSE_SEED, CHOOSE_TASK = 100, 1
DENSE = ("upper-bound", "batche", "separate-heads", "separate-heads-random")
Figures = dict[str, Any]


def images(path: Path, *, augment: bool = False) -> Dataset:
    """The data set of an ``.npz``, normalised as the one that is known by its name."""
    source = find_source("cifar100")
    with np.load(path) as file:
        x, y, x_test, y_test = (file[f"{a}_{part}"] for part in ("train", "test") for a in "xy")
    pixels, test_pixels = (np.ascontiguousarray(each.transpose(0, 3, 1, 2)) for each in (x, x_test))
    return Dataset(
        name=source.name,
        classes=source.classes,
        train_images=torch.from_numpy(pixels),
        train_labels=torch.from_numpy(y.astype(np.int64)),
        test_images=torch.from_numpy(test_pixels),
        test_labels=torch.from_numpy(y_test.astype(np.int64)),
        mean=source.mean,
        std=source.std,
        augment=source.augment if augment else None,
    )


def held_out(task: Task) -> Task:
    """Every fifth training image to be tested on, the others to learn from."""
    assert isinstance(task.train_images, torch.Tensor)
    held = torch.arange(task.train_size, device=task.device) % 5 == 0
    return replace(
        task,
        train_images=task.train_images[~held],
        train_y=task.train_y[~held],
        test_images=task.train_images[held],
        test_y=task.train_y[held],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The tasks, and how all arms are trained on them.

    Attributes:
        suffix: of an arm's name, where it is not trained as the others are.
        trial: whether held-out training images are tested on.
    """

    data: Dataset
    batch: int = BATCH
    width: int = WIDTH
    precision: str = PRECISION
    ways: int = WAYS
    suffix: str = ""
    trial: bool = False
    _learners: dict[str, Baseline] = field(default_factory=dict, init=False)

    def tasks(self, seed: int, until: int) -> list[Task]:
        """Up to one of that number; all classes in the seed's order, so many a task."""
        options = {"ways": self.ways}
        recipes = task_family("split-cifar100", until + 1, seed=seed, options=options)
        made = [make_task(each, self.data) for each in recipes]
        return [held_out(task) for task in made] if self.trial else made

    def network(self, seed: int, init: str, statistics: str) -> BackboneRecipe:
        """Of the arms with masks with running statistics, of the others with the batch's."""
        return BackboneRecipe(
            net="resnet18",
            outputs=self.ways,
            seed=seed,
            init=init,
            statistics=statistics,
            options={"width": self.width},
        )

    def measure(self, cell: Cell) -> Figures:
        """Accuracy on the cell's task, what it adds to the bytes to be kept, CPU seconds."""
        tasks, arm = self.tasks(cell.seed, cell.task), cell.arm.removesuffix(self.suffix)
        found = self._dense(cell, arm, tasks) if arm in DENSE else self._masks(cell, arm, tasks)
        return {"width": self.width, "precision": self.precision, **found}

    def _masks(self, cell: Cell, arm: str, tasks: list[Task]) -> Figures:
        start = time.process_time()
        wanted = tasks if arm.endswith(TRANSFER) else tasks[-1:]
        with self.archive(cell, wanted) as archive:
            stored = archive.task(tasks[-1].name)
            statistics = sum(each.bytes for each in stored.tensors)
            return {
                "accuracy": stored.metadata["metrics"]["accuracy"],
                "density": stored.metadata["metrics"]["density"],
                "bytes": stored.bytes,
                "statistics_bytes": statistics,
                "cpu_seconds": round(time.process_time() - start, 1),
            }

    def archive(self, cell: Cell, tasks: list[Task]) -> MaskArchive:
        """With the masks of those tasks at least, as the cell's arm trains them."""
        parts = [cell.arm, f"seed{cell.seed}", f"steps{cell.steps}", f"lr{cell.lr:g}"]
        path = CACHE.path("-".join([*parts, *(["trial"] if self.trial else [])]) + ".h5")
        arm = cell.arm.removesuffix(self.suffix)
        config = TrainConfig(
            steps=cell.steps,
            batch=self.batch,
            rule="topk",
            budget="erdos-renyi",
            optimizer="adam",
            lr=cell.lr,
            precision=self.precision,
            seed=cell.seed,
            transfer="masks" if arm.endswith(TRANSFER) else "none",
            **MASKS[arm.removesuffix(TRANSFER)],
        )
        net = build(self.network(cell.seed, "signed-constant", "running")).to(self.data.device)
        archive = MaskArchive.open(path, "a") if path.exists() else create_archive(path, net)
        train_into(archive, net, tasks, config, resume=True, parallel=1)
        return archive

    def _dense(self, cell: Cell, arm: str, tasks: list[Task]) -> Figures:
        learner = self._learner(cell, arm, tasks)
        start, before = time.process_time(), learner.bytes()
        self._learn(learner, tasks[-1])
        (row,) = evaluate_baseline(learner, [tasks[-1]]).per_task
        return {
            "accuracy": row.accuracy,
            "bytes": learner.bytes() - before,
            "statistics_bytes": 0,
            "cpu_seconds": round(time.process_time() - start, 1),
        }

    def _learner(self, cell: Cell, arm: str, tasks: list[Task]) -> Baseline:
        """That has learnt nothing but what later tasks share, and others of such."""
        key = f"{replace(cell, task=0)}"
        if arm in SHARED and cell.task and key in self._learners:
            return self._learners[key]
        config = BaselineConfig(
            steps=cell.steps,
            batch=self.batch,
            lr=cell.lr,
            schedule="constant" if self.trial else "cosine",
            seed=cell.seed,
        )
        own = {"batche": "vector_lr", "separate-heads": "head_lr"}
        options = {own[arm]: cell.own_lr} if arm in own else {}
        net = build(self.network(cell.seed, "kaiming-normal", "batch")).to(self.data.device)
        learner = BASELINES[arm](net, config, **options)
        if arm in SHARED:
            self._learners[key] = learner
            if cell.task:
                self._learn(learner, tasks[0])
        return learner

    def _learn(self, learner: Baseline, task: Task) -> None:
        # A cache of weights in bfloat16 would outlive the steps that change them.
        low, kind = torch.bfloat16, self.data.device.type
        on = self.precision == "bfloat16"
        with torch.autocast(kind, low, enabled=on, cache_enabled=False):
            learner.learn(task)


def choices(arms: list[str], steps: int) -> Iterator[Cell]:
    """What rates are chosen by."""
    for arm in arms:
        for lr, own in RATES.get(arm, ()):
            where = {"task": CHOOSE_TASK, "seed": CHOOSE_SEED}
            yield Cell(arm=arm, steps=steps, lr=lr, own_lr=own, **where)


def reported(
    arms: list[str], tasks: range, seeds: list[int], steps: int, suffix: str
) -> Iterator[Cell]:
    """Every arm on a task before the next task."""
    chosen = best_cells(saved_results("split_cifar100").get("held_out", {}), steps)
    bases = {arm: arm if arm in DENSE else DENSEST for arm in arms}
    require_chosen([*bases.values()], chosen)
    for seed, task, arm in product(seeds, tasks, arms):
        rates = {"lr": chosen[bases[arm]].lr, "own_lr": chosen[bases[arm]].own_lr}
        yield Cell(arm=arm + suffix, task=task, seed=seed, steps=steps, **rates)


def main() -> None:
    """Measure what is missing and write docs/results/split_cifar100.json after each cell."""
    names = [*DENSE, *MASKS, *(f"{arm}{TRANSFER}" for arm in MASKS)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="cifar100.npz")
    parser.add_argument("--choose", action="store_true", help="compare rates, held out")
    parser.add_argument("--arms", nargs="+", choices=names, metavar="ARM", default=names)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the first stage")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default=PRECISION)
    parser.add_argument("--augment", action="store_true", help="crops and mirrored, as the paper")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = parse_device(options.device)
    torch.set_num_threads(1)
    usual = {"batch": BATCH, "width": WIDTH, "precision": PRECISION}
    chosen = {key: getattr(options, key) for key in usual}
    suffix = "".join(
        f", {value}" if key == "precision" else f", {key} {value}"
        for key, value in chosen.items()
        if value != usual[key]
    ) + (", augmented" if options.augment else "")
    study = Study(
        data=images(options.data, augment=options.augment).to(device),
        batch=options.batch,
        width=options.width,
        precision=options.precision,
        suffix=suffix,
        trial=options.choose,
    )
    # All tasks have 500 training images a class.
    steps = -(-options.epochs * 500 * WAYS // options.batch)
    if options.choose:
        part, cells = "held_out", choices(options.arms, steps)
    else:
        tasks = range(options.tasks)
        part, cells = "cells", reported(options.arms, tasks, options.seeds, steps, suffix)
    about = {"net": "resnet18", "ways": WAYS}
    measure_missing("split_cifar100", part, cells, study.measure, about)


if __name__ == "__main__":
    main()
