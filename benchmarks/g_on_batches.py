"""G of the paper's code beside ours, and Binary with and without the median, on batches.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.g_on_batches

LeNet-300-100 with 200 outputs, the paper's RMSprop at a constant 1e-4, 500 steps a task; ten
batches of each test set. What is measured stays in ``.cache``.
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
from supsup import BackboneRecipe, build, train
from supsup.datasets import load
from supsup.figures.base import paper_training
from supsup.inference import Binary, Entropy, MaskBank, Method, OneShot, PaperG, Query, Superfluous
from supsup.tasks import make_task, task_family

CACHE = study_cache("g_on_batches")
FAMILIES = {"permuted-mnist": 6, "rotated-mnist": 12}
STEPS, OUTPUTS, BATCH, BATCHES, SEEDS = 500, 200, 128, 10, (0, 1, 2)
OBJECTIVES = {"H": Entropy(), "G": Superfluous(), "G, paper's code": PaperG()}
METHODS: dict[str, Method] = {
    "One-Shot": OneShot(),
    "Binary": Binary(),
    "Binary without the median": Binary(keep_median=False),
}


def measure(family: str, seed: int) -> dict[str, Any]:
    """For every method and objective the share of batches whose task was found; and how often both
    G find the same, in batches and by single images."""
    data = load("mnist")
    recipes = task_family(family, FAMILIES[family], seed=seed)
    tasks = [make_task(recipe, data) for recipe in recipes]
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS, seed=seed))
    made = list(train(backbone, tasks, paper_training(STEPS, seed), parallel=1))
    masks = PackedMasks(
        layout=backbone.layout,
        names=tuple(mask.name for mask in made),
        bits=np.stack([backbone.layout.pack(mask.masks) for mask in made]),
    )
    bank = MaskBank(backbone, masks, classes=10)
    found: dict[str, list[int]] = {
        f"{method}, {objective}": [] for method, objective in product(METHODS, OBJECTIVES)
    }
    singles: dict[str, list[int]] = {objective: [] for objective in OBJECTIVES}
    owners = []
    for at, task in enumerate(tasks):
        x = task.test_batch(torch.arange(BATCH * BATCHES))[0]
        owners += [at] * BATCHES
        for objective, measured in OBJECTIVES.items():
            for part in x.split(BATCH):
                query = Query(bank=bank, x=part, objective=measured, per_image=False)
                for name, method in METHODS.items():
                    found[f"{name}, {objective}"].append(int(method.evidence(query).argmax()))
            query = Query(bank=bank, x=x[:: BATCHES * 4], objective=measured, per_image=True)
            singles[objective] += OneShot().evidence(query).argmax(1).tolist()

    def same(first: list[int], second: list[int]) -> list[int]:
        return [int(np.sum(np.equal(first, second))), len(first)]

    return {
        "family": family,
        "seed": seed,
        "task_accuracy": {name: same(tasks, owners) for name, tasks in found.items()},
        "both_g_agree": {
            "single images, One-Shot": same(singles["G"], singles["G, paper's code"]),
            **{m: same(found[f"{m}, G"], found[f"{m}, G, paper's code"]) for m in METHODS},
        },
    }


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and deviation over seeds, by family and column."""
    rows = []
    for family in FAMILIES:
        for key in ("task_accuracy", "both_g_agree"):
            of_family = [run[key] for run in runs if run["family"] == family]
            for name in of_family[0] if of_family else ():
                shares = [right / all_ for right, all_ in (each[name] for each in of_family)]
                rows.append(
                    {
                        "family": family,
                        "what": key,
                        "of": name,
                        "mean": round(fmean(shares), 3),
                        "deviation": round(pstdev(shares), 3),
                    }
                )
    return rows


def main() -> None:
    """What is wanted; all that was measured so far goes into the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    wanted = parser.parse_args()
    settings = {"tasks": FAMILIES, "steps": STEPS, "outputs": OUTPUTS, "batch": BATCH}
    settings |= {"batches": BATCHES}
    for family, seed in product(wanted.families, wanted.seeds):
        CACHE.cached(f"{family}-{seed}", settings, partial(measure, family, seed))
        print("done", family, seed, flush=True)
    found = [CACHE.found(f"{f}-{seed}", settings) for f, seed in product(FAMILIES, range(10))]
    runs = [each for each in found if each]
    save_results("g_on_batches", {**settings, "summary": summary(runs), "runs": runs})


if __name__ == "__main__":
    main()
