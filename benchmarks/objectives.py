"""Which objective tells a single image's mask by trying every mask: the choice of the default.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.objectives

LeNet-300-100, Adam at 3e-3, a rate at which masks become too sure of others' data: ten tasks of
PermutedMNIST (100 outputs, 500 steps) and SplitMNIST's five (50 outputs, 150 steps). As this is a
choice, it is made on the last 10,000 training images, which training does not see. Kept under
``.cache``.
"""

import argparse
from functools import partial
from statistics import fmean, pstdev
from typing import Any

import numpy as np

from benchmarks.held_out import validation_split
from benchmarks.results import save_results, study_cache
from maskstore.packed import PackedMasks
from supsup import BackboneRecipe, TrainConfig, build, train
from supsup.datasets import load
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.inference.objectives import (
    Energy,
    Entropy,
    MaxProbability,
    Objective,
    Superfluous,
)
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import sample_test

CACHE = study_cache("objectives")
SEEDS = (10, 11, 12)
IMAGES = 300
FAMILIES = {"permuted-mnist": (10, 100, 500), "split-mnist": (5, 50, 150)}
"""Tasks, outputs, and steps of each."""

OBJECTIVES: dict[str, Objective] = {
    "H": Entropy(),
    **{f"H, T = {t:g}": Entropy(temperature=t) for t in (1.5, 2, 5)},
    "G": Superfluous(),
    "free energy": Energy(),
    "maximum probability": MaxProbability(),
}


def measure(family: str, seed: int) -> dict[str, float]:
    """Share of the images whose task is found, by objective."""
    count, outputs, steps = FAMILIES[family]
    digits = validation_split(load("mnist", quiet=True))
    tasks = [make_task(recipe, digits) for recipe in task_family(family, count, seed)]
    net = build(BackboneRecipe(net="lenet-300-100", outputs=outputs, seed=seed))
    config = TrainConfig(steps=steps, optimizer="adam", lr=3e-3, seed=seed)
    made = list(train(net, tasks, config, parallel=1))
    bits = np.stack([net.layout.pack(mask.masks) for mask in made])
    masks = PackedMasks(layout=net.layout, names=tuple(mask.name for mask in made), bits=bits)
    bank = MaskBank(net, masks, classes=tasks[0].classes)
    few = [sample_test(task, IMAGES, seed=seed) for task in tasks]
    return {
        name: evaluate_inferred(
            GNU, bank, few, method="exhaustive", objective=objective
        ).task_accuracy
        for name, objective in OBJECTIVES.items()
    }


def main() -> None:
    """Measure what is not there, and write all."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    for family, settings in FAMILIES.items():
        runs: list[dict[str, Any]] = []
        for seed in SEEDS:
            asked = {"settings": settings, "images": IMAGES, "names": [*OBJECTIVES]}
            runs.append(CACHE.cached(f"{family}-{seed}", asked, partial(measure, family, seed)))
            print("done", family, seed, flush=True)
        for name in OBJECTIVES:
            found = [run[name] for run in runs]
            row = {"family": family, "objective": name, "task_accuracy": fmean(found)}
            rows.append(row | {"deviation": pstdev(found), "by_seed": found})
    save_results("objectives", {"seeds": SEEDS, "images": IMAGES, "rows": rows})


if __name__ == "__main__":
    main()
