"""What running statistics of each task cost in finding the task, beside those of the batch.

    python -m benchmarks.statistics_cost [--seeds 0,1,2] [--steps 60]

The five tasks of SplitMNIST on the digits that the package carries, bn-2048 with ten outputs,
settings otherwise the defaults. Accuracy with the task given; the share of batches of 128, and of
single images, whose task is found by entropy; bytes.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.results import save_results
from maskstore.stats import archive_stats
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import bank_of, create_archive, train_into
from supsup.datasets import load
from supsup.evaluation import evaluate_inferred, parse_scenario
from supsup.evaluation.score import EVAL_BATCH
from supsup.inference.objectives import Entropy
from supsup.tasks import make_task, task_family

FAMILY = "split-mnist-sample"
ASKED = {
    "exhaustive, batch": ("exhaustive", "batch"),
    "one-shot, batch": ("one-shot", "batch"),
    "binary, batch": ("binary", "batch"),
    "exhaustive, image": ("exhaustive", "image"),
}
"""Column → method and mode."""


def main() -> None:
    """Measure and write docs/results/statistics_cost.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    rows = {
        statistics: [measure(statistics, seed, options.steps) for seed in seeds]
        for statistics in ("batch", "running")
    }
    means = {
        statistics: {key: fmean(row[key] for row in found) for key in found[0]}
        for statistics, found in rows.items()
    }
    save_results(
        "statistics_cost", {"seeds": seeds, "steps": options.steps, "mean": means, "rows": rows}
    )


def measure(statistics: str, seed: int, steps: int) -> dict[str, Any]:
    """One archive of all tasks."""
    images = load(FAMILY.split("-", 1)[1])
    tasks = [make_task(recipe, images) for recipe in task_family(FAMILY, seed=seed)]
    backbone = build(BackboneRecipe(net="bn-2048", outputs=10, seed=seed, statistics=statistics))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        with create_archive(path, backbone) as archive:
            stored = train_into(archive, backbone, tasks, TrainConfig(steps=steps, seed=seed))
            bank, size = bank_of(archive, backbone), archive_stats(archive).bytes_per_task
            found = {
                column: evaluate_inferred(
                    parse_scenario("GNu"),
                    bank,
                    tasks,
                    method=method,
                    objective=Entropy(),
                    mode=mode,
                    batch=EVAL_BATCH,
                ).task_accuracy
                for column, (method, mode) in ASKED.items()
            }
        given = fmean(each.metadata["metrics"]["accuracy"] for each in stored)
    return {"accuracy": given, **found, "bytes_per_task": size}


if __name__ == "__main__":
    main()
