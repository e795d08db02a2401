"""Accuracy against training steps with transfer and without, and bytes a mask; three seeds.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.transfer

RotatedMNIST through LeNet-300-100, and textures of CIFAR-100's shape through a narrow ResNet-18.
Every training is kept under ``.cache/transfer``, so the study can be run in pieces; ``--report``
gives the figures of the seeds that all of a case's trainings have, and trains nothing.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch
from matplotlib.axes import Axes

from benchmarks import conv_tasks
from benchmarks.results import picture, save_results, study_cache
from benchmarks.textures import PER_CLASS, WAYS, texture_tasks
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import create_archive, train_into
from supsup.datasets import load
from supsup.figures.transfer import STARTS
from supsup.plots import ROW, curve_styles, in_percent, plot_curve
from supsup.tasks import Task, make_task, task_family
from supsup.training.config import TRANSFERS

CACHE = study_cache("transfer")
TASKS = 5
SEEDS = (0, 1, 2)
"""Of weights, initial scores and the order of images; the tasks are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Tasks and a network that learns them one after another."""

    name: str
    recipe: BackboneRecipe
    config: TrainConfig
    tasks: Callable[[], list[Task]]
    steps: Sequence[int]
    epoch: float
    """Steps in one."""


def rotated() -> list[Task]:
    """RotatedMNIST with a fifth of its test images: evaluating would take longer than training."""
    digits = load("mnist", quiet=True)
    made = [make_task(recipe, digits) for recipe in task_family("rotated-mnist", TASKS)]
    return [replace(t, test_images=t.test_images[::5], test_y=t.test_y[::5]) for t in made]


def _rotated(rule: str) -> Case:
    return Case(
        name=f"RotatedMNIST, {rule}",
        recipe=BackboneRecipe(net="lenet-300-100", outputs=10),
        config=TrainConfig(steps=1, rule=rule),
        tasks=rotated,
        steps=(20, 50, 100, 200),
        epoch=60_000 / 128,
    )


CASES = (
    _rotated("threshold"),
    _rotated("topk"),
    Case(
        name="textures, ResNet-18, topk",
        recipe=BackboneRecipe(
            net="resnet18", outputs=WAYS, options={"width": conv_tasks.WIDTH}, statistics="batch"
        ),
        config=conv_tasks.CONFIG,
        tasks=lambda: list(texture_tasks()),
        steps=(5, 10, 19, 38),
        epoch=WAYS * PER_CLASS[0] / conv_tasks.CONFIG.batch,
    ),
)


def run(case: Case, tasks: list[Task], transfer: str, steps: int, seed: int) -> dict[str, Any]:
    """Tasks learned one after another, each of that many steps."""
    start = time.process_time()
    backbone = build(replace(case.recipe, seed=seed))
    config = replace(case.config, steps=steps, transfer=transfer, seed=seed)
    # Finding the smallest code takes seconds a mask.
    codec = "auto" if (steps, seed) == (case.steps[-1], SEEDS[0]) else "raw"
    with (
        TemporaryDirectory() as folder,
        create_archive(Path(folder) / "a.h5", backbone) as archive,
    ):
        stored = train_into(archive, backbone, tasks, config, codec=codec, parallel=1)
    row = {
        "case": case.name,
        "transfer": transfer,
        "steps": steps,
        "seed": seed,
        "accuracies": [task.metadata["metrics"]["accuracy"] for task in stored],
    }
    if codec == "auto":
        row["codecs"] = [task.codec for task in stored]
        row["later_bytes"] = round(fmean(task.bytes for task in stored[1:]))
    return row | {"cpu_seconds": round(time.process_time() - start, 1)}


def _cached(case: Case, transfer: str, steps: int, seed: int) -> tuple[str, dict[str, Any]]:
    """The name and the settings that a training is found by."""
    config = replace(case.config, steps=steps, transfer=transfer, seed=seed)
    settings = {"network": case.recipe.to_json(), "training": config.to_json(), "tasks": TASKS}
    return f"{case.name}, {transfer}, {steps}, {seed}", settings


def train_missing() -> None:
    """Every training that was not done before."""
    for seed, case in product(SEEDS, CASES):
        points = list(product(TRANSFERS, case.steps))
        missing = [p for p in points if CACHE.found(*_cached(case, *p, seed)) is None]
        tasks = case.tasks() if missing else []
        for point in missing:
            asked = _cached(case, *point, seed)
            row = CACHE.cached(*asked, partial(run, case, tasks, *point, seed))
            print(row, file=sys.stderr, flush=True)


def done_runs() -> list[dict[str, Any]]:
    """All trainings of each case and seed that has all of them."""
    rows = []
    for seed, case in product(SEEDS, CASES):
        points = product(TRANSFERS, case.steps)
        found = [CACHE.found(*_cached(case, *point, seed)) for point in points]
        if None not in found:
            rows += found
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean accuracy of the later tasks, and its spread over the seeds, of every curve's points."""
    found = []
    for case in CASES:
        for steps, transfer in product(case.steps, TRANSFERS):
            later, without = (
                [
                    fmean(row["accuracies"][1:])
                    for row in rows
                    if (row["case"], row["steps"], row["transfer"]) == (case.name, steps, which)
                ]
                for which in (transfer, "none")
            )
            gains = [a - b for a, b in zip(later, without, strict=True)]
            found.append(
                {
                    "case": case.name,
                    "steps": steps,
                    "epochs": round(steps / case.epoch, 2),
                    "transfer": transfer,
                    "seeds": len(later),
                    "later_tasks": round(fmean(later), 4),
                    "spread": round(stdev(later), 4) if len(later) > 1 else 0.0,
                    "gain": round(fmean(gains), 4),
                    "gain_by_seed": [round(gain, 4) for gain in gains],
                }
            )
    return found


def draw(points: list[dict[str, Any]]) -> None:
    """One panel a case."""
    with picture("transfer", ROW) as figure:
        for axes, case in zip(figure.subplots(1, len(CASES)), CASES, strict=True):
            _panel(axes, case, [point for point in points if point["case"] == case.name])


def _panel(axes: Axes, case: Case, points: list[dict[str, Any]]) -> None:
    styles = curve_styles(list(STARTS.values()))
    for transfer, label in STARTS.items():
        curve = [point for point in points if point["transfer"] == transfer]
        plot_curve(
            axes,
            [point["epochs"] for point in curve],
            [point["later_tasks"] for point in curve],
            [point["spread"] for point in curve],
            label=label,
            style=styles[label],
        )
    axes.set_xscale("log")
    epochs = [point["epochs"] for point in points if point["transfer"] == "none"]
    axes.set_xticks(epochs, [f"{each:.2g}" for each in epochs])
    axes.minorticks_off()
    axes.set(title=case.name, xlabel="epochs a task")
    in_percent(axes.yaxis, f"accuracy of tasks 2 to {TASKS}")
    axes.legend(loc="lower right")


def main() -> None:
    """Train what is missing, some 12 minutes in all; then the figures of all of it."""
    torch.set_num_threads(1)
    if sys.argv[1:] != ["--report"]:
        train_missing()
    rows = done_runs()
    points = summary(rows)
    save_results(
        "transfer",
        {
            "torch": torch.__version__,
            "tasks": TASKS,
            "cpu_minutes": round(sum(row["cpu_seconds"] for row in rows) / 60, 1),
            "points": points,
            "runs": rows,
        },
    )
    draw(points)


if __name__ == "__main__":
    main()
