"""RotatedMNIST, FC-1024-1024, 36 tasks of 10°: Binary on full batches (the paper's experiment).

The archive is made before:

    supsup-store train .cache/inference/rmsprop-rotated.h5 --dataset rotated-mnist --tasks 36 \
        --net fc-1024-1024 --outputs 500 --optimizer rmsprop --lr 0.0001 --schedule constant \
        --codec raw --resume
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.results import picture, save_results
from maskstore import MaskArchive
from supsup import evaluate_gg
from supsup.archives import backbone_of, tasks_of
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.plots import DARK, ROW, curve_styles, in_percent

COUNTS = (2, 6, 12, 18, 24, 30, 36)
BATCH = 128
RUNS = (
    ("binary", "entropy", "batch"),
    ("binary", "superfluous", "batch"),
    ("one-shot", "entropy", "batch"),
    ("one-shot", "superfluous", "batch"),
    ("exhaustive", "entropy", "batch"),
    ("exhaustive", "superfluous", "image"),
)


def main() -> None:
    """Accuracy and task accuracy by number of tasks, on the first batches of each test set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=Path)
    parser.add_argument("--batches", type=int, default=4, help=f"of {BATCH} images, a task")
    arguments = parser.parse_args()
    with MaskArchive.open(arguments.archive) as archive:
        backbone = backbone_of(archive)
        everything = archive.packed()
        tasks = list(tasks_of(archive))
        trained = [float(task.metadata["metrics"]["accuracy"]) for task in archive]
    rows = []
    for count in [count for count in COUNTS if count <= len(tasks)]:
        bank = MaskBank(backbone, everything.select(range(count)), classes=10)
        row: dict[str, Any] = {"tasks": count}
        for method, objective, mode in RUNS:
            start = time.perf_counter()
            found = evaluate_inferred(
                GNU,
                bank,
                tasks[:count],
                method=method,
                objective=objective,
                mode=mode,
                batch=BATCH,
                batches=arguments.batches if mode == "batch" else 1,
            )
            row[f"{method}:{objective}:{mode}"] = {
                "task_accuracy": found.task_accuracy,
                "accuracy": found.accuracy,
                "seconds": round(time.perf_counter() - start, 1),
            }
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    whole = evaluate_gg(
        backbone, [(task, everything.unpack(at)) for at, task in enumerate(tasks[: COUNTS[-1]])]
    )
    figures = {
        "batch": BATCH,
        "batches_a_task": arguments.batches,
        "accuracy_task_given": whole.accuracy,
        "accuracy_after_training": sum(trained) / len(trained),
        "rows": rows,
    }
    save_results("rotated_binary", figures)
    plot(figures)


def plot(figures: dict[str, Any]) -> None:
    """Accuracy and task accuracy against the number of tasks."""
    counts = [row["tasks"] for row in figures["rows"]]
    with picture("rotated_binary", ROW) as figure:
        panels = figure.subplots(1, 2, sharex=True)
        for axes, key in zip(panels, ("accuracy", "task_accuracy"), strict=True):
            for label, style in curve_styles([", ".join(run) for run in RUNS]).items():
                found = [row[label.replace(", ", ":")][key] for row in figures["rows"]]
                axes.plot(counts, found, label=label, **style)
            axes.set_xlabel("tasks")
            in_percent(axes.yaxis, key.replace("_", " "))
        given = figures["accuracy_task_given"]
        panels[0].axhline(given, color=DARK, ls=":", label="task given")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")


if __name__ == "__main__":
    main()
