"""Scenario NNs by eq. 5 as the paper's code runs it, beside the same rule run otherwise.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.reference_nns

The paper's ``experiments/NNs/supsup.py`` with six tasks: PermutedMNIST, LeNet-300-100 with 500
outputs, RMSprop at a constant 1e-4, each mask from scores of its own; every task is seen once, for
1,000 batches of 128; a decision at every hundredth. What is measured stays in ``.cache``.
"""

import argparse
import time
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch

from benchmarks.results import save_results, study_cache
from maskstore.packed import PackedMasks
from supsup import BackboneRecipe, TrainConfig, build
from supsup.datasets import load
from supsup.evaluation import NNS, evaluate_inferred
from supsup.inference import MaskBank
from supsup.task_free import Learner, Level, Uniform, task_stream
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import subset

CACHE = study_cache("reference_nns")
TASKS, STEPS, IMAGES, OUTPUTS = 6, 1000, 1000, 500
PAPER: dict[str, Any] = {
    "optimizer": "rmsprop",
    "lr": 1e-4,
    "schedule": "constant",
    "shared_scores": False,
}
RULES: dict[str, dict[str, Any]] = {
    "reference": {"allocation": Uniform()},
    "no floor": {"allocation": Uniform(floor=1)},
    "no floor, three confirm": {"allocation": Uniform(floor=1), "confirm": 3},
    "level": {"allocation": Level()},
    "reference, our training": {"allocation": Uniform()},
}


def run(rule: str, seed: int) -> dict[str, Any]:
    """One stream by one rule: the masks made, whose batches they were given, and accuracies."""
    data = load("mnist")
    tasks = [make_task(each, data) for each in task_family("permuted-mnist", TASKS, seed=seed)]
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS, seed=seed))
    training = {} if rule.endswith("our training") else PAPER
    config = TrainConfig(steps=STEPS, seed=seed, **training)
    learner = Learner(backbone, config, classes=10, **RULES[rule])
    start = time.process_time()
    stream = task_stream(tasks, least=STEPS, most=STEPS, seed=seed)
    masks = list({mask.name: mask for mask in learner.learn(stream)}.values())
    seconds = time.process_time() - start
    rows = [mask.metadata["sources"] for mask in masks]
    owners = [row[0]["name"] for row in rows]
    packed = PackedMasks(
        layout=backbone.layout,
        names=tuple(mask.name for mask in masks),
        bits=np.stack([backbone.layout.pack(mask.masks) for mask in masks]),
    )
    score = evaluate_inferred(
        NNS,
        MaskBank(backbone, packed, classes=10),
        [subset(task, torch.arange(IMAGES)) for task in tasks],
        owners,
        method="one-shot",
        objective="entropy",
        mode="batch",
    )
    return {
        "rule": rule,
        "seed": seed,
        "masks": len(masks),
        "tasks_without_a_mask": TASKS - len(set(owners)),
        "batches_astray": sum(each["batches"] for row in rows for each in row[1:]),
        "batches": learner.report.batches,
        "accuracy": score.accuracy,
        "task_accuracy": score.task_accuracy,
        "cpu_seconds": round(seconds, 1),
    }


def main() -> None:
    """What is wanted; all that was measured so far goes into the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=list(RULES))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    wanted = parser.parse_args()
    settings = {"tasks": TASKS, "steps": STEPS, "images": IMAGES, "outputs": OUTPUTS}
    for rule, seed in product(wanted.rules, wanted.seeds):
        print(CACHE.cached(f"{rule}-{seed}", settings, partial(run, rule, seed)), flush=True)
    found = [CACHE.found(f"{r}-{seed}", settings) for r, seed in product(RULES, range(10))]
    save_results("reference_nns", {**settings, "runs": [each for each in found if each]})


if __name__ == "__main__":
    main()
