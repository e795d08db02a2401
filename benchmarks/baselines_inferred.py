"""Baselines that are not told the task: found by entropy, by the largest output, by One-Shot.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.baselines_inferred
    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.baselines_inferred \\
        --family rotated-mnist --methods supsup supsup-paper batche

Five PermutedMNIST tasks, or the 36 angles of RotatedMNIST (Figure 5 right of the paper: BatchE with
One-Shot); LeNet-300-100, 300 steps each, by the settings that the study of baselines chose. SupSup
has 100 outputs, the baselines 10; it is trained by the paper's RMSprop, too. Kept under ``.cache``.
"""

import argparse
from dataclasses import replace
from functools import partial
from itertools import product
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import torch

from benchmarks.baselines import SUPSUP_RECIPE, best_of
from benchmarks.baselines_settings import Setting
from benchmarks.results import save_results, saved_results, study_cache
from maskstore.packed import PackedMasks
from supsup import TrainConfig, build, train
from supsup.baselines import evaluate_baseline
from supsup.datasets import load
from supsup.evaluation import GNU, Evaluation, evaluate_gg, evaluate_inferred
from supsup.figures.base import paper_training
from supsup.inference import MaskBank
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import Subset, subset

CACHE = study_cache("baselines_inferred")
STEPS, SEEDS = 300, (0, 1, 2)
FAMILIES = {"permuted-mnist": (5, 10), "rotated-mnist": (36, 50)}
"""How many tasks, and every how-manyth test image."""
PAPER = "supsup-paper"
"""SupSup by the paper's training instead of the setting that was most accurate."""
METHODS = (
    "supsup",
    PAPER,
    "upper-bound",
    "psp-rotation",
    "psp",
    "batche",
    "icarl",
    "separate-heads",
)


def learnt_baseline(
    name: str, setting: Setting, tasks: list[Subset], seed: int
) -> dict[str, Evaluation]:
    """The baseline after all tasks, in GG and in GNu by each method that applies."""
    baseline = setting.make(name, STEPS, len(tasks), seed)
    for task in tasks:
        baseline.learn(task)
    found = {"GG": evaluate_baseline(baseline, tasks)}
    for method, mode in product(baseline.methods, ("image", "batch")):
        found[f"GNu, {method}, {mode}"] = evaluate_baseline(
            baseline, tasks, scenario=GNU, method=method, mode=mode
        )
    return found


def learnt_masks(config: TrainConfig, tasks: list[Subset], seed: int) -> dict[str, Evaluation]:
    """SupSup, by the same."""
    net = build(replace(SUPSUP_RECIPE, seed=seed))
    made = list(train(net, tasks, config, parallel=1))
    bits = np.stack([net.layout.pack(mask.masks) for mask in made])
    masks = PackedMasks(layout=net.layout, names=tuple(mask.name for mask in made), bits=bits)
    bank = MaskBank(net, masks, classes=10)
    found = {"GG": evaluate_gg(net, zip(tasks, (mask.masks for mask in made), strict=True))}
    for method, mode in product(("exhaustive", "logits", "one-shot", "binary"), ("image", "batch")):
        found[f"GNu, {method}, {mode}"] = evaluate_inferred(
            GNU, bank, tasks, method=method, objective="entropy", mode=mode
        )
    return found


def measure(family: str, name: str, seed: int) -> dict[str, Any]:
    """Accuracy and share of images whose task was found."""
    data = load("mnist")
    count, every = FAMILIES[family]
    recipes = task_family(family, count, seed=seed)
    fewer = torch.arange(0, 10_000, every)
    tasks = [subset(make_task(recipe, data), fewer) for recipe in recipes]
    if name == PAPER:
        found = learnt_masks(paper_training(STEPS, seed), tasks, seed)
    elif name == "supsup":
        setting, _ = best_of(family, name)
        config = TrainConfig(steps=STEPS, optimizer=setting.optimizer, lr=setting.lr, seed=seed)
        found = learnt_masks(config, tasks, seed)
    else:
        found = learnt_baseline(name, best_of(family, name)[0], tasks, seed)
    return {key: [each.accuracy, each.task_accuracy] for key, each in found.items()}


def main() -> None:
    """What is wanted; all that was measured so far goes into the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--family", default="permuted-mnist", choices=FAMILIES)
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    wanted = parser.parse_args()
    tasks, every = FAMILIES[wanted.family]
    settings = {"family": wanted.family, "tasks": tasks, "steps": STEPS, "every": every}
    for seed, name in product(wanted.seeds, wanted.methods):
        work = partial(measure, wanted.family, name, seed)
        CACHE.cached(f"{wanted.family}-{name}-{seed}", settings, work)
        print("done", name, seed, flush=True)
    rows = []
    for name in METHODS:
        keys = (f"{wanted.family}-{name}-{seed}" for seed in range(10))
        runs = [run for key in keys if (run := CACHE.found(key, settings))]
        for key in runs[0] if runs else ():
            accuracies, shares = zip(*(run[key] for run in runs), strict=True)
            row = {"method": name, "scenario": key, "seeds": len(runs)}
            row |= {"accuracy": fmean(accuracies), "deviation": pstdev(accuracies)}
            rows.append(row | {"task_accuracy": fmean(shares), "by_seed": list(accuracies)})
    families = saved_results("baselines_inferred").get("families", {})
    families[wanted.family] = {**settings, "rows": rows}
    save_results("baselines_inferred", {"families": families})


if __name__ == "__main__":
    main()
