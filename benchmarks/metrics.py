"""The field's metrics of SupSup and of every baseline, from the calls that users make.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.metrics

SplitMNIST in five tasks, LeNet-300-100, 200 steps a task, every fifth test image, the task given;
all settings as they are shipped. A run that was stopped goes on: what is measured is kept.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import torch

from benchmarks.results import save_results, saved_results
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import create_archive, metrics_of_archive, train_into
from supsup.baselines import BASELINES, BaselineConfig, learn_and_measure
from supsup.evaluation.metrics import ContinualMetrics
from supsup.tasks import Task

STEPS, COUNT, SEEDS = 200, 5, (0, 2, 3)
SUPSUP, REFERENCE = "supsup", "upper-bound"
"""Intransigence is what a method lacks on a task just learnt to a network of its own."""
SHOWN = ("average_accuracy", "forgetting", "backward_transfer", "forward_transfer")


def main() -> None:
    """Measure what is missing and write docs/results/metrics.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=[SUPSUP, *BASELINES])
    options = parser.parse_args()
    torch.set_num_threads(1)
    from benchmarks.baselines import tasks_of

    runs: dict[str, dict[str, Any]] = saved_results("metrics").get("runs", {})
    for seed in SEEDS:
        tasks = tasks_of("split-mnist", COUNT, seed)
        for name in options.methods:
            known = runs.setdefault(name, {})
            if str(seed) not in known:
                known[str(seed)] = measured(name, tasks, seed, STEPS).to_json()
                print(name, seed, known[str(seed)]["average_accuracy"], flush=True)
                write(runs)
    write(runs)


def write(runs: dict[str, dict[str, Any]]) -> None:
    """Put down what is measured so far."""
    figures = {"tasks": COUNT, "steps": STEPS, "table": table(runs), "runs": runs}
    save_results("metrics", figures, quiet=True)


def measured(name: str, tasks: Sequence[Task], seed: int, steps: int) -> ContinualMetrics:
    """The metrics of one method over tasks in their order."""
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=seed))
    if name != SUPSUP:
        config = BaselineConfig(steps=steps, seed=seed)
        return learn_and_measure(BASELINES[name](backbone, config), tasks)
    seconds = []
    with (
        tempfile.TemporaryDirectory() as folder,
        create_archive(Path(folder) / "a.h5", backbone) as archive,
    ):
        for task in tasks:
            start = time.perf_counter()
            train_into(archive, backbone, [task], TrainConfig(steps=steps, seed=seed), parallel=1)
            seconds.append(time.perf_counter() - start)
        found = metrics_of_archive(archive, backbone, archive.names())
    return replace(found, seconds=tuple(seconds))


def table(runs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Method → mean and deviation over seeds of each metric."""
    return {name: summary(name, runs) for name in runs if runs[name]}


def summary(name: str, runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of one method."""
    of_seeds: dict[str, list[float]] = {}
    for seed, run in runs[name].items():
        row = {key: run[key] for key in SHOWN}
        row |= {"bytes": run["bytes"][-1], "seconds": sum(run["seconds"])}
        if seed in runs.get(REFERENCE, {}):
            best = just_learnt(runs[REFERENCE][seed])
            row["intransigence"] = best - just_learnt(run)
        for key, value in row.items():
            of_seeds.setdefault(key, []).extend([] if value is None else [value])
    return {
        key: {"mean": fmean(values), "deviation": pstdev(values)} if values else None
        for key, values in of_seeds.items()
    }


def just_learnt(run: dict[str, Any]) -> float:
    """Mean accuracy on each task right after it was learnt."""
    return float(np.mean([row[at] for at, row in enumerate(run["accuracy_matrix"])]))


if __name__ == "__main__":
    main()
