"""Scenario GNu on up to 2,500 PermutedMNIST tasks, as many as the paper's largest experiment.

    python -m benchmarks.many_tasks --folder figures --data DIR

LeNet-300-100 with 500 outputs, RMSprop, 1,000 steps a task. Training, over two hours on one core,
and what is measured of each number of tasks go on where they stopped. Asked about are single
images: four of each of at most 250 tasks, spread evenly over the first 10, 25, … of them, whose
masks are those that may be found.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import picture, save_results
from benchmarks.task_inference import sampled
from maskstore import MaskArchive
from maskstore.packed import PackedMasks
from supsup import Backbone, evaluate_gg
from supsup.archives import backbone_of, tasks_of
from supsup.archives.tasks import accuracy_of
from supsup.evaluation import GNU, evaluate_inferred
from supsup.figures.base import counts_up_to, paper_training
from supsup.figures.cache import Cache
from supsup.figures.workspace import Workspace
from supsup.inference import MaskBank
from supsup.networks.recipe import BackboneRecipe
from supsup.plots import curve_styles, in_percent
from supsup.tasks import Task, task_family

RUNS = {
    "One-Shot, H": ("one-shot", "entropy"),
    "One-Shot, G": ("one-shot", "superfluous"),
    "hybrid, G": ("hybrid", "auto"),
    "every mask tried": ("exhaustive", "auto"),
}
"""Name → method and objective; hybrid is what ``auto`` takes for single images of so many masks."""
ASKED = 250
"""Tasks whose images are asked about, at most."""


def asked_of(tasks: Sequence[Task]) -> list[Task]:
    """At most :data:`ASKED` of them, evenly spread."""
    at = np.linspace(0, len(tasks) - 1, min(ASKED, len(tasks))).round().astype(int)
    return [tasks[number] for number in at]


def measure(
    backbone: Backbone, masks: PackedMasks, tasks: Sequence[Task], images: int
) -> dict[str, Any]:
    """Every method among the masks of these tasks."""
    asked = asked_of(tasks)
    number = {task.name: at for at, task in enumerate(tasks)}
    some = [sampled(task, images) for task in asked]
    pairs = [(task, masks.unpack(number[task.name])) for task in some]
    row: dict[str, Any] = {
        "tasks": len(tasks),
        "images": images * len(asked),
        "task given": {"accuracy": evaluate_gg(backbone, pairs).accuracy},
    }
    bank = MaskBank(backbone, masks, classes=tasks[0].classes)
    for name, (method, objective) in RUNS.items():
        start = time.perf_counter()
        found = evaluate_inferred(GNU, bank, some, method=method, objective=objective)
        seconds = time.perf_counter() - start
        row[name] = {
            "task_accuracy": found.task_accuracy,
            "accuracy": found.accuracy,
            "ms_an_image": round(1000 * seconds / row["images"], 2),
        }
    return row


def study(folder: Path, data: Path | None, sizes: Any) -> dict[str, Any]:
    """Train what is not there, and measure each number of tasks once.

    Args:
        sizes: the options ``dataset``, ``tasks``, ``outputs``, ``steps`` and ``images``.
    """
    workspace = Workspace(
        folder=folder,
        data_dir=data,
        report=lambda stage, done, of: print(f"{stage}: {done} of {of}", file=sys.stderr),
    )
    recipes = task_family(sizes.dataset, sizes.tasks, seed=0)
    network = BackboneRecipe(net="lenet-300-100", outputs=sizes.outputs, seed=0)
    config = paper_training(sizes.steps, 0)
    path = workspace.train(sizes.dataset, recipes, network, config)
    rows = []
    with MaskArchive.open(path) as archive:
        backbone, names = backbone_of(archive), [recipe.name for recipe in recipes]
        tasks = {task.name: task for task in tasks_of(archive, data_dir=data)}
        whole = float(np.mean([accuracy_of(archive, archive.task(name)) for name in names]))
        stored = sum(archive.task(name).bytes for name in names)
        for count in [each for each in counts_up_to(sizes.tasks) if each >= 10]:
            first = names[:count]
            settings = {
                "masks": [archive.task(name).sha256 for name in first],
                "images": sizes.images,
                "runs": RUNS,
                "asked": ASKED,
            }

            def found(first: list[str] = first) -> dict[str, Any]:
                chosen = [tasks[name] for name in first]
                return measure(backbone, archive.packed(first), chosen, sizes.images)

            rows.append(Cache(folder=folder).cached(f"many-{count}", settings, found))
            print(rows[-1], file=sys.stderr, flush=True)
        return {
            "dataset": sizes.dataset,
            "outputs": sizes.outputs,
            "steps": sizes.steps,
            "seed": 0,
            "images_a_task": sizes.images,
            "accuracy_on_whole_test_sets": whole,
            "bytes_of_masks": stored,
            "packed_bytes_of_masks": len(names) * archive.layout.packed_bytes,
            "dense_bytes": 4 * len(names) * archive.layout.bits,
            "rows": rows,
        }


def draw(rows: Sequence[dict[str, Any]]) -> None:
    """Accuracy without the task given, by number of tasks."""
    styles = curve_styles([*RUNS, "task given"])
    with picture("many_tasks") as figure:
        axes = figure.subplots()
        counts = [row["tasks"] for row in rows]
        for name, style in styles.items():
            axes.plot(counts, [row[name]["accuracy"] for row in rows], label=name, **style)
        axes.set(xscale="log", xlabel="tasks", ylim=(0.8, 1))
        in_percent(axes.yaxis, "accuracy")
        axes.legend()


def main() -> None:
    """Write docs/results/many_tasks.json and its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of archives, and what is found")
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--dataset", default="permuted-mnist")
    parser.add_argument("--tasks", type=int, default=2500)
    parser.add_argument("--outputs", type=int, default=500)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--images", type=int, default=4, help="of each task that is asked about")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = study(options.folder, options.data, options)
    command = f"python -m benchmarks.many_tasks --folder … --tasks {options.tasks}"
    save_results("many_tasks", figures, command=command)
    draw(figures["rows"])


if __name__ == "__main__":
    main()
