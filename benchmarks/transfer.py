"""Accuracy against training steps with transfer and without, on RotatedMNIST; and bytes a mask.

Needs the MNIST files in ``SUPSUP_DATA``.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.results import FOLDER, save_results
from supsup import BackboneRecipe, TrainConfig, build
from supsup.config import TRANSFERS
from supsup.data import Task, load, make_task, task_family
from supsup.session import create_archive, train_into

TASKS = 5
STEPS = (20, 50, 100, 200)
RULES = ("threshold", "topk")


def run(tasks: list[Task], rule: str, transfer: str, steps: int) -> dict[str, Any]:
    """Tasks learned one after another, each of that many steps."""
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=0))
    config = TrainConfig(steps=steps, rule=rule, transfer=transfer)
    # Finding the smallest code takes a second a mask.
    codec = "auto" if steps == STEPS[-1] else "raw"
    with (
        TemporaryDirectory() as folder,
        create_archive(Path(folder) / "a.h5", backbone) as archive,
    ):
        stored = list(train_into(archive, backbone, tasks, config, codec=codec))
    accuracies = [task.metadata["metrics"]["accuracy"] for task in stored]
    row = {
        "rule": rule,
        "transfer": transfer,
        "steps": steps,
        "first_task": accuracies[0],
        "later_tasks": round(fmean(accuracies[1:]), 4),
        "accuracies": accuracies,
    }
    if codec == "auto":
        row["codecs"] = [task.codec for task in stored]
        row["later_bytes"] = round(fmean(task.bytes for task in stored[1:]))
    print(row, file=sys.stderr, flush=True)
    return row


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One panel a rule."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    labels = {"none": "seeded scores", "masks": "mean of masks", "scores": "mean of scores"}
    colours = {"none": "#7b858c", "masks": "#1f6f8b", "scores": "#c8553d"}
    for axes, rule in zip(figure.subplots(1, len(RULES), sharey=True), RULES, strict=True):
        for transfer in TRANSFERS:
            curve = [row for row in rows if (row["rule"], row["transfer"]) == (rule, transfer)]
            axes.plot(
                [row["steps"] for row in curve],
                [100 * row["later_tasks"] for row in curve],
                marker="o",
                color=colours[transfer],
                label=labels[transfer],
            )
        axes.set_xscale("log")
        axes.set_xticks(STEPS, [str(steps) for steps in STEPS])
        axes.minorticks_off()
        axes.set_title(rule)
        axes.set_xlabel("steps a task (469 are an epoch)")
        axes.set_ylabel(f"accuracy of tasks 2 to {TASKS}, %")
        axes.legend(fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Train everything; some minutes."""
    digits = load("mnist", quiet=True)
    made = [make_task(recipe, digits) for recipe in task_family("rotated-mnist", TASKS)]
    # A fifth of the test images: the evaluation would take longer than the training.
    tasks = [replace(t, test_images=t.test_images[::5], test_y=t.test_y[::5]) for t in made]
    rows = [
        run(tasks, rule, transfer, steps)
        for rule in RULES
        for transfer in TRANSFERS
        for steps in STEPS
    ]
    save_results("transfer", {"torch": torch.__version__, "tasks": TASKS, "runs": rows})
    draw(rows, FOLDER / "transfer.png")


if __name__ == "__main__":
    main()
