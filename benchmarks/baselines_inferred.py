"""Baselines that are not told the task: found by entropy, by the largest output, by One-Shot.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.baselines_inferred

Five PermutedMNIST tasks, LeNet-300-100, 300 steps each, by the settings that the study of baselines
chose; every tenth test image. SupSup has 100 outputs, the baselines 10. Kept under ``.cache``.
"""

import argparse
from functools import partial
from itertools import product
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import torch

from benchmarks.results import save_results, study_cache
from maskstore.packed import PackedMasks
from supsup import BackboneRecipe, TrainConfig, build, train
from supsup.baselines import BASELINES, BaselineConfig, evaluate_baseline
from supsup.datasets import load
from supsup.evaluation import GNU, Evaluation, evaluate_gg, evaluate_inferred
from supsup.inference import MaskBank
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import Subset, subset

CACHE = study_cache("baselines_inferred")
TASKS, STEPS, EVERY, SEEDS = 5, 300, 10, (0, 1, 2)
ADAM: dict[str, tuple[float, dict[str, Any]]] = {
    "upper-bound": (1e-3, {}),
    "psp-rotation": (3e-4, {}),
    "psp": (3e-4, {}),
    "batche": (1e-3, {"vector_lr": 0.03}),
    "icarl": (1e-3, {}),
    "separate-heads": (1e-3, {"head_lr": 0.01}),
}
"""Adam's rates: docs/results/baselines.md."""


def learnt_baseline(name: str, tasks: list[Subset], seed: int) -> dict[str, Evaluation]:
    """The baseline after all tasks, in GG and in GNu by each method that applies."""
    lr, options = ADAM[name]
    net = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=seed, init="kaiming-normal"))
    config = BaselineConfig(steps=STEPS, optimizer="adam", lr=lr, seed=seed)
    baseline = BASELINES[name](net, config, **options)
    for task in tasks:
        baseline.learn(task)
    found = {"GG": evaluate_baseline(baseline, tasks)}
    for method, mode in product(baseline.methods, ("image", "batch")):
        found[f"GNu, {method}, {mode}"] = evaluate_baseline(
            baseline, tasks, scenario=GNU, method=method, mode=mode
        )
    return found


def learnt_masks(tasks: list[Subset], seed: int) -> dict[str, Evaluation]:
    """SupSup, by the same."""
    net = build(BackboneRecipe(net="lenet-300-100", outputs=100, seed=seed))
    config = TrainConfig(steps=STEPS, optimizer="adam", lr=3e-3, seed=seed)
    made = list(train(net, tasks, config, parallel=1))
    bits = np.stack([net.layout.pack(mask.masks) for mask in made])
    masks = PackedMasks(layout=net.layout, names=tuple(mask.name for mask in made), bits=bits)
    bank = MaskBank(net, masks, classes=10)
    found = {"GG": evaluate_gg(net, zip(tasks, (mask.masks for mask in made), strict=True))}
    for method, mode in product(("exhaustive", "logits", "one-shot"), ("image", "batch")):
        found[f"GNu, {method}, {mode}"] = evaluate_inferred(
            GNU, bank, tasks, method=method, objective="entropy", mode=mode
        )
    return found


def measure(name: str, seed: int) -> dict[str, Any]:
    """Accuracy and share of images whose task was found."""
    data = load("mnist")
    recipes = task_family("permuted-mnist", TASKS, seed=seed)
    fewer = torch.arange(0, 10_000, EVERY)
    tasks = [subset(make_task(recipe, data), fewer) for recipe in recipes]
    found = learnt_masks(tasks, seed) if name == "SupSup" else learnt_baseline(name, tasks, seed)
    return {key: [each.accuracy, each.task_accuracy] for key, each in found.items()}


def main() -> None:
    """What is wanted; all that was measured so far goes into the results."""
    parser = argparse.ArgumentParser()
    names = ["SupSup", *ADAM]
    parser.add_argument("--methods", nargs="*", default=names, choices=names)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    wanted = parser.parse_args()
    settings = {"tasks": TASKS, "steps": STEPS, "every": EVERY}
    for seed, name in product(wanted.seeds, wanted.methods):
        CACHE.cached(f"{name}-{seed}", settings, partial(measure, name, seed))
        print("done", name, seed, flush=True)
    rows = []
    for name in names:
        runs = [run for seed in range(10) if (run := CACHE.found(f"{name}-{seed}", settings))]
        for key in runs[0] if runs else ():
            accuracies, tasks = zip(*(run[key] for run in runs), strict=True)
            row = {"method": name, "scenario": key, "seeds": len(runs)}
            row |= {"accuracy": fmean(accuracies), "deviation": pstdev(accuracies)}
            rows.append(row | {"task_accuracy": fmean(tasks), "by_seed": list(accuracies)})
    save_results("baselines_inferred", {**settings, "rows": rows})


if __name__ == "__main__":
    main()
