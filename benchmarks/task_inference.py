"""Task inference on trained PermutedMNIST masks: scenario GNu by number of tasks, GG beside it.

The archives are made before, and in pieces where time is short (``--resume`` goes on):

    supsup-store train .cache/inference/permuted-100.h5 --dataset permuted-mnist --tasks 250 \
        --net lenet-300-100 --outputs 100 --optimizer adam --lr 0.003 --resume
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.results import FOLDER, save_results
from maskstore import MaskArchive
from maskstore.packed import PackedMasks
from supsup import evaluate_gg
from supsup.inference import MaskBank, evaluate_gnu
from supsup.session import backbone_of, tasks_of

COUNTS = (10, 50, 100, 250)
RUNS = (
    "auto:auto:image",
    "one-shot:entropy:image",
    "one-shot:superfluous:image",
    "hybrid:auto:image",
    "exhaustive:entropy:image",
    "exhaustive:superfluous:image",
    "one-shot:entropy:batch",
    "one-shot:superfluous:batch",
)


class Sampled:
    """A task with some images of its test set only, drawn by its number: not the same for all."""

    def __init__(self, task: Any, images: int) -> None:
        self.name, self.classes, self._task = task.name, task.classes, task
        drawn = np.random.default_rng(task.recipe.index).integers(0, task.test_size, images)
        self._indices = torch.from_numpy(drawn)

    def test_batches(self, size: int) -> Any:
        """The images, ``size`` at a time."""
        for indices in self._indices.split(size):
            yield self._task.test_batch(indices)


def main() -> None:
    """For each number of tasks: methods and objectives, ``--images`` test images of each task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=Path)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--name", default="task_inference")
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--runs", nargs="*", default=RUNS, help="method:objective:mode")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"images_a_task": arguments.images, "rows": []}
    with MaskArchive.open(arguments.archive) as archive:
        backbone = backbone_of(archive)
        everything = archive.packed()
        tasks = [Sampled(task, arguments.images) for task in tasks_of(archive)]
    figures["outputs"] = backbone.recipe.outputs if backbone.recipe else None
    for count in arguments.counts:
        if count > len(tasks):
            break
        masks = PackedMasks(
            layout=everything.layout,
            names=everything.names[:count],
            bits=everything.bits[:count],
        )
        given = evaluate_gg(
            backbone, [(task, masks.unpack(at)) for at, task in enumerate(tasks[:count])]
        )
        row: dict[str, Any] = {"tasks": count, "GG": given.accuracy}
        bank = MaskBank(backbone, masks, classes=10)
        for run in arguments.runs:
            method, objective, mode = run.split(":")
            start = time.perf_counter()
            found = evaluate_gnu(bank, tasks[:count], method=method, objective=objective, mode=mode)
            row[run] = {
                "task_accuracy": found.task_accuracy,
                "accuracy": found.accuracy,
                "seconds": round(time.perf_counter() - start, 1),
            }
        figures["rows"].append(row)
        print(row, flush=True)
    save_results(arguments.name, figures)
    plot(figures["rows"], arguments.name)


def plot(rows: list[dict[str, Any]], name: str) -> None:
    """Accuracy of single images by number of tasks, that with the task given beside it."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    counts = [row["tasks"] for row in rows]
    axes.plot(counts, [row["GG"] for row in rows], "k:", label="task given (GG)")
    for run in [run for run in rows[0] if run.endswith(":image")]:
        axes.plot(counts, [row[run]["accuracy"] for row in rows], "o-", label=run[:-6])
    axes.set(xlabel="tasks", ylabel="accuracy, single images (GNu)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(FOLDER / f"{name}.png", dpi=150)


if __name__ == "__main__":
    main()
