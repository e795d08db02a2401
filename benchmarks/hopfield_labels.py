"""Hopfield recovery by the labels of the tasks: numbered from 0, or the digits themselves.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.hopfield_labels

SplitMNIST, bn-2048 with 10 outputs, an epoch a task. Trained by this package's defaults, and as the
paper's code does: scores from zero, SGD at 0.1, momentum 0.9, weight decay 1e-4. Each memory is
asked by our recovery and by eq. 6 to the letter; both see the whole test set. Kept in ``.cache``.
"""

import argparse
from collections.abc import Iterable
from functools import partial
from itertools import combinations, product
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.results import save_results, study_cache
from hopfield import layer_blocks, masks_of, new_memory, overlap, pattern_of, recover
from hopfield import recover_literally as by_the_letter
from supsup import Backbone, BackboneRecipe, TrainConfig, accuracy, build, train
from supsup.datasets import load
from supsup.recovery.mask_entropy import BATCH, MaskEntropy
from supsup.tasks import Task, make_task, task_family
from supsup.tasks.order import batches
from supsup.tasks.subset import hold_out

CACHE = study_cache("hopfield_labels")
LABELS, TRAININGS, SEEDS = ("original", "shared"), ("paper", "ours"), (20,)
LR, MOMENTUM, DECAY = 0.1, 0.9, 1e-4
"""``experiments/GNu/SplitMNIST/hopsupsup.py`` and the defaults of its ``args.py``."""


def patterns(
    training: str, backbone: Backbone, tasks: Iterable[Task], seed: int
) -> list[np.ndarray]:
    """The mask of each task as ±1."""
    if training == "paper":
        return [paper_pattern(backbone, task, seed) for task in tasks]
    made = train(backbone, tasks, TrainConfig(epochs=1, seed=seed), parallel=1)
    return [pattern_of(mask.masks, backbone.layout) for mask in made]


def paper_pattern(backbone: Backbone, task: Task, seed: int) -> np.ndarray:
    """An epoch from scores of zero, the gradient of the mask passed straight through to them."""
    layout = backbone.layout
    scores = torch.zeros(layout.bits, dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.SGD([scores], lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    order = batches(seed, task.name, task.train_size, 128, task.device)
    for _ in range(-(-task.train_size // 128)):
        x, y = task.train_batch(next(order))
        mask = (scores.detach() >= 0).float().requires_grad_()
        loss = F.cross_entropy(backbone.run(x, backbone.masked(layout.split(mask))), y)
        (scores.grad,) = torch.autograd.grad(loss, mask)
        optimizer.step()
    return np.where(scores.detach().numpy() >= 0, 1, -1).astype(np.int8)


def measure(training: str, labels: str, seed: int) -> dict[str, Any]:
    """The five tasks of a seed in one memory: overlaps, and both recoveries."""
    data = load("mnist")
    recipes = task_family("split-mnist", seed=seed, options={"labels": labels})
    tasks = [make_task(recipe, data) for recipe in recipes]
    backbone = build(BackboneRecipe(net="bn-2048", outputs=10, seed=seed))
    stored = patterns(training, backbone, tasks, seed)
    layout = backbone.layout
    projection = new_memory("projection", layout.bits)
    storkey = new_memory("storkey", layout.bits, form="blocks", blocks=layer_blocks(layout))
    for memory, pattern in product((projection, storkey), stored):
        memory.encode(pattern)
    start = np.mean(stored, axis=0)
    rows = []
    for task, truth in zip(tasks, stored, strict=True):
        x, scored = hold_out(task, seed=seed, disjoint=False)

        def differ(pattern: np.ndarray, truth: np.ndarray = truth) -> int:
            return int(np.count_nonzero(pattern != truth))

        entropy = MaskEntropy(backbone, x, classes=1)
        ours = recover(projection, entropy, start=start)
        steps = -(-len(x) // BATCH)
        eq6 = by_the_letter(storkey, entropy, start=start, steps=steps)
        rows.append(
            {
                "task": task.name,
                "explicit_accuracy": accuracy(backbone, masks_of(truth, layout), scored),
                "ours_hamming": differ(ours.pattern),
                "eq6_hamming": differ(eq6.pattern),
                "eq6_accuracy": accuracy(backbone, masks_of(eq6.pattern, layout), scored),
            }
        )
    return {
        "training": training,
        "labels": labels,
        "seed": seed,
        "mean_overlap": fmean(overlap(a, b) for a, b in combinations(stored, 2)),
        "ours_exact": sum(not row["ours_hamming"] for row in rows),
        "eq6_exact": sum(not row["eq6_hamming"] for row in rows),
        "explicit_accuracy": fmean(row["explicit_accuracy"] for row in rows),
        "eq6_accuracy": fmean(row["eq6_accuracy"] for row in rows),
        "tasks": rows,
    }


def main() -> None:
    """What is wanted; all that was measured so far goes into the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainings", nargs="*", default=TRAININGS, choices=TRAININGS)
    parser.add_argument("--labels", nargs="*", default=LABELS, choices=LABELS)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    wanted = parser.parse_args()
    settings = {"net": "bn-2048", "outputs": 10, "epochs": 1}
    for training, labels, seed in product(wanted.trainings, wanted.labels, wanted.seeds):
        name = f"{training}-{labels}-{seed}"
        done = CACHE.cached(name, settings, partial(measure, training, labels, seed))
        print({key: value for key, value in done.items() if key != "tasks"}, flush=True)
    names = [f"{t}-{one}-{seed}" for t, one, seed in product(TRAININGS, LABELS, range(100))]
    found = [CACHE.found(name, settings) for name in names]
    save_results("hopfield_labels", {**settings, "runs": [each for each in found if each]})


if __name__ == "__main__":
    main()
