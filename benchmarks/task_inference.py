"""Task inference on trained PermutedMNIST masks: scenario GNu by number of tasks and outputs.

The paper's Figures 7 and 12 and, on masks of another optimizer, where One-Shot stops to work. The
archives are made before, and in pieces where time is short (``--resume`` goes on), for 25, 100, 200
and 500 outputs as in the paper:

    supsup-store train .cache/inference/rmsprop-100.h5 --dataset permuted-mnist --tasks 250 \
        --net lenet-300-100 --outputs 100 --optimizer rmsprop --lr 0.0001 --schedule constant \
        --codec raw --resume

and with ``--optimizer adam --lr 0.003``:

    supsup-store train .cache/inference/permuted-100.h5 --dataset permuted-mnist --tasks 250 \
        --net lenet-300-100 --outputs 100 --optimizer adam --lr 0.003 --codec raw --resume
"""

import argparse
import hashlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import picture, save_results, study_cache
from maskstore import MaskArchive
from supsup import evaluate_gg
from supsup.archives import backbone_of, tasks_of
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.plots import ROW, curve_styles, in_percent
from supsup.tasks import Task
from supsup.tasks.subset import Subset, subset

CACHE = study_cache("inference")
COUNTS = (10, 50, 100, 250)
RUNS = (
    "one-shot:entropy:image",
    "one-shot:superfluous:image",
    "one-shot:entropy:batch",
    "one-shot:superfluous:batch",
    "hybrid:auto:image",
    "exhaustive:entropy:image",
    "exhaustive:superfluous:image",
    "auto:auto:image",
)


def sampled(task: Task, images: int) -> Subset:
    """A task with some images of its test set only, drawn by its number: not the same for all."""
    drawn = np.random.default_rng(task.recipe.index).integers(0, task.test_size, images)
    return subset(task, torch.from_numpy(drawn))


def measured(path: Path, images: int) -> dict[str, Any]:
    """:func:`measure`, or what it found before: the study may be run in pieces."""
    with MaskArchive.open(path) as archive:
        masks = hashlib.sha256("".join(task.sha256 for task in archive).encode()).hexdigest()
    settings = {"masks": masks, "images": images, "counts": COUNTS, "runs": RUNS}
    name = f"{path.stem}-{images}"
    found: dict[str, Any] = CACHE.cached(name, settings, partial(measure, path, images))
    return found


def measure(path: Path, images: int) -> dict[str, Any]:
    """Every method and objective on the first 10, 50, … tasks of an archive."""
    with MaskArchive.open(path) as archive:
        backbone = backbone_of(archive)
        everything = archive.packed()
        training = next(iter(archive)).metadata["training"]
        whole = float(np.mean([task.metadata["metrics"]["accuracy"] for task in archive]))
        tasks = [sampled(task, images) for task in tasks_of(archive)]
    assert backbone.recipe
    figures: dict[str, Any] = {
        "archive": path.stem,
        "outputs": backbone.recipe.outputs,
        "training": {key: training[key] for key in ("optimizer", "lr", "schedule", "steps")},
        "accuracy_on_whole_test_sets": whole,
        "rows": [],
    }
    for count in [count for count in COUNTS if count <= len(tasks)]:
        masks = everything.select(range(count))
        given = evaluate_gg(
            backbone, [(task, masks.unpack(at)) for at, task in enumerate(tasks[:count])]
        )
        row: dict[str, Any] = {"tasks": count, "GG": given.accuracy}
        bank = MaskBank(backbone, masks, classes=10)
        for run in RUNS:
            method, objective, mode = run.split(":")
            start = time.perf_counter()
            found = evaluate_inferred(
                GNU, bank, tasks[:count], method=method, objective=objective, mode=mode
            )
            row[run] = {
                "task_accuracy": found.task_accuracy,
                "accuracy": found.accuracy,
                "seconds": round(time.perf_counter() - start, 1),
            }
        figures["rows"].append(row)
        print(figures["archive"], row, file=sys.stderr, flush=True)
    return figures


def plot(archives: list[dict[str, Any]]) -> None:
    """Accuracy of single images by One-Shot against the number of tasks, a panel an objective."""
    labels = [f"{each['outputs']} outputs, {each['training']['optimizer']}" for each in archives]
    styles = curve_styles(labels)
    with picture("task_inference", ROW) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, objective, title in zip(panels, ("entropy", "superfluous"), "HG", strict=True):
            for archive, label in zip(archives, labels, strict=True):
                counts = [row["tasks"] for row in archive["rows"]]
                found = [row[f"one-shot:{objective}:image"]["accuracy"] for row in archive["rows"]]
                axes.plot(counts, found, label=label, **styles[label])
                given = [row["GG"] for row in archive["rows"]]
                axes.plot(counts, given, ":", color=styles[label]["color"])
            axes.set(xscale="log", xlabel="tasks", title=f"One-Shot, {title}, single images")
        in_percent(panels[0].yaxis, "accuracy (dotted: task given)")
        panels[0].legend()


def main() -> None:
    """Each archive on ``--images`` test images of each task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archives", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=16)
    arguments = parser.parse_args()
    archives = [measured(path, arguments.images) for path in arguments.archives]
    save_results("task_inference", {"images_a_task": arguments.images, "archives": archives})
    plot(archives)


if __name__ == "__main__":
    main()
