"""A task that was left out, near those that are there: which score tells its images apart?

    SUPSUP_DATA=DIR python -m benchmarks.near_strangers [--families split-mnist,…] [--choose]

Each of five two-way tasks is left out in turn: its images are the strangers, those of the four
others are known. Farther ones are images of the other data set, known images whose pixels are
permuted, and noise. Every figure is the mean over the five. ``--choose`` prints those of held-out
training images under the seeds 5 and 6, which scores were picked on; otherwise the test sets are
asked under the seeds 11 to 13.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from scipy.special import logsumexp
from scipy.stats import mannwhitneyu
from torch import Tensor

from benchmarks.prototypes import statistics, summary
from benchmarks.results import save_results, saved_results
from maskstore import MaskArchive
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import bank_of, create_archive, iter_train_into
from supsup.datasets import load
from supsup.inference.find_task import predict
from supsup.inference.prototypes import (
    ClassMeans,
    FeatureRecipe,
    Features,
    PooledCovariance,
)
from supsup.inference.prototypes.strangers import UsualDistances
from supsup.networks.backbone import Backbone
from supsup.tasks import Task, make_task, task_family

FAMILIES = ("split-mnist", "split-fashion-mnist")
SEEDS, CHOSEN_ON = (11, 12, 13), (5, 6)
SIZES = (248, 1000)
TASKS, STEPS, HELD_OUT = 5, 400, 1_000
UNION = ("energy", "relative Mahalanobis")
KNOWN_BY = ("energy, by task", "prototypes")
"""Scores with a bar: free energy against that of the found task, and what ``known`` goes by."""

Scores = dict[str, Float64[np.ndarray, " image"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of some tasks: class means (a row each), where each task's begin, covariance.

    Attributes:
        counts: images of each class.
    """

    means: Float64[np.ndarray, "label feature"]
    counts: Float64[np.ndarray, " label"]
    starts: Sequence[int]
    within: Float64[np.ndarray, "feature feature"]

    @classmethod
    def of(cls, parts: Sequence[tuple[ClassMeans, PooledCovariance]]) -> "Known":
        """Of the tasks given."""
        means = np.concatenate([each.means for each, _ in parts]).astype(np.float64)
        total = PooledCovariance.empty(means.shape[1])
        for _, covariance in parts:
            total = total.joined(covariance)
        within = total.regular(means.shape[1], [each for each, _ in parts])
        starts = np.cumsum([0, *(len(each.means) for each, _ in parts[:-1])]).tolist()
        counts = np.concatenate([each.counts for each, _ in parts]).astype(np.float64)
        return cls(means=means, counts=counts, starts=starts, within=within)


def main() -> None:
    """Measure and write docs/results/near_strangers.json; what is not asked for stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--choose", action="store_true", help="print held-out figures alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = saved_results("near_strangers").get("families", {})
    for name in options.families.split(","):
        runs = [
            {"seed": seed, "size": size, **areas}
            for seed in (CHOSEN_ON if options.choose else SEEDS)
            for size, areas in measure_seed(name, seed, options.choose).items()
        ]
        if options.choose:
            print(name, runs, flush=True)
            continue
        means = {
            str(size): {
                score: summary([run[score] for run in runs if run["size"] == size])
                for score in runs[0]
                if score not in ("seed", "size")
            }
            for size in SIZES
        }
        found[name] = {"auroc": means, "runs": runs}
        save_results(
            "near_strangers", {"seeds": list(SEEDS), "steps": STEPS, "families": found}, quiet=True
        )
        print(name, means, flush=True)


def measure_seed(name: str, seed: int, choose: bool = False) -> dict[int, dict[str, float]]:
    """Size of the features → score → area under the ROC curve, mean over the tasks left out."""
    dataset = load(name.split("-", 1)[1])
    tasks = [make_task(recipe, dataset) for recipe in task_family(name, TASKS, seed)]
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=seed))
    orders = [
        torch.randperm(task.train_size, generator=torch.Generator().manual_seed(seed))
        for task in tasks
    ]
    held = [
        task.train_batch(order[:HELD_OUT])[0] for task, order in zip(tasks, orders, strict=True)
    ]
    if choose:
        held, asked = [x[: HELD_OUT // 2] for x in held], [x[HELD_OUT // 2 :] for x in held]
    else:
        asked = [torch.cat([x for x, _ in task.test_batches(2000)]) for task in tasks]
    far = far_strangers(name, asked, seed)
    energies = energies_of(backbone, tasks, seed, [*held, *asked, *far.values()])
    result = {}
    for size in SIZES:
        features = Features(FeatureRecipe(size=size, seed=seed), backbone)
        parts = [
            statistics(task, at, order[HELD_OUT:], features)
            for at, (task, order) in enumerate(zip(tasks, orders, strict=True))
        ]
        images = [
            (features(x).astype(np.float64), energy)
            for x, energy in zip([*held, *asked, *far.values()], energies, strict=True)
        ]
        every = [left_out(left, parts, images, tuple(far)) for left in range(TASKS)]
        result[size] = {score: float(np.mean([row[score] for row in every])) for score in every[0]}
    return result


def far_strangers(name: str, images: Sequence[Tensor], seed: int) -> dict[str, Tensor]:
    """Kind → images that are like none of the family, as many as a task has of its own."""
    other = "fashion-mnist" if name == "split-mnist" else "mnist"
    task = make_task(task_family(f"split-{other}", 1, seed)[0], load(other))
    some = torch.cat(list(images))[:: len(images)]
    draws = torch.Generator().manual_seed(seed)
    order = torch.randperm(some[0].numel(), generator=draws)
    return {
        other: next(task.test_batches(len(some)))[0],
        "permuted pixels": some.flatten(1)[:, order].reshape(some.shape),
        "noise": torch.randn(some.shape, generator=draws),
    }


def energies_of(
    backbone: Backbone, tasks: Sequence[Task], seed: int, images: Sequence[Tensor]
) -> list[Float64[np.ndarray, "image task"]]:
    """Free energy of images under the mask of every task, trained here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        config = TrainConfig(steps=STEPS, seed=seed)
        with create_archive(path, backbone) as archive:
            for _ in iter_train_into(archive, backbone, tasks, config, codec="fast"):
                pass
        with MaskArchive.open(path) as archive:
            bank = bank_of(archive, backbone)
            return [
                np.stack([predict(bank, x, np.full(len(x), at))[1] for at in range(len(tasks))], 1)
                for x in images
            ]


def left_out(
    left: int,
    parts: Sequence[tuple[ClassMeans, PooledCovariance]],
    images: Sequence[tuple[np.ndarray, np.ndarray]],
    far: Sequence[str] = (),
) -> dict[str, float]:
    """Score → area under the ROC curve where one task is not there; of scores with a bar also the
    shares called unknown, of known images and of strangers.

    Args:
        images: (features, energies) of every task's held-out images, then of those asked for, then
            of the kinds of far strangers.
        far: these kinds.
    """
    there = [at for at in range(len(parts)) if at != left]
    known = Known.of([parts[at] for at in there])
    found = [scores(known, features, energy[:, there]) for features, energy in images]
    usual, own = (
        {
            name: np.concatenate([each[name] for each in (found[offset + at] for at in there)])
            for name in found[0]
        }
        for offset in (0, len(parts))
    )
    strangers = found[len(parts) + left]
    distant = dict(zip(far, found[2 * len(parts) :], strict=True))
    bars = UsualDistances.of(usual["relative Mahalanobis"], usual["Mahalanobis"])
    assert bars is not None
    for each in (own, strangers, *distant.values()):
        each["union"] = np.sum([each[name] / usual[name].std() for name in UNION], axis=0)
        each["energy, by task"] = by_task(usual, each)
        each["prototypes"] = bars.strangeness(each["relative Mahalanobis"], each["Mahalanobis"])
    areas = {name: area(strangers[name], own[name]) for name in own if name != "task"}
    for name in KNOWN_BY:
        areas[f"{name}: known called unknown"] = float((own[name] > 1).mean())
        areas[f"{name}: strangers called unknown"] = float((strangers[name] > 1).mean())
        for kind, each in distant.items():
            areas[f"{name}: {kind}"] = area(each[name], own[name])
            areas[f"{name}: {kind} called unknown"] = float((each[name] > 1).mean())
    return areas


def area(strangers: Float64[np.ndarray, " image"], own: Float64[np.ndarray, " other"]) -> float:
    """Under the ROC curve."""
    return float(mannwhitneyu(strangers, own).statistic) / (len(own) * len(strangers))


def scores(known: Known, x: Float64[np.ndarray, "image feature"], energy: np.ndarray) -> Scores:
    """How strange each image is, and the task that prototypes find for it."""
    solved = np.linalg.solve(known.within, np.concatenate([x, known.means]).T).T
    x_solved, means_solved = solved[: len(x)], solved[len(x) :]
    # log p(x | class) - log p(x | nothing): what is the same of all classes is left out.
    by_class = x @ means_solved.T - 0.5 * (known.means * means_solved).sum(1)
    ends = [*known.starts[1:], len(known.means)]
    by_task_ = np.stack(
        [
            logsumexp(by_class[:, a:b], axis=1) - np.log(b - a)
            for a, b in zip(known.starts, ends, strict=True)
        ],
        1,
    )
    best, task = by_task_.max(1), by_task_.argmax(1)
    weights = known.counts / known.counts.sum()
    middle = weights @ known.means
    of_middle = x @ (weights @ means_solved) - 0.5 * middle @ (weights @ means_solved)
    away, spread = x - middle, known.means - middle
    total = known.within + (spread * weights[:, None]).T @ spread
    distance = (x * x_solved).sum(1) - 2 * of_middle  # from the middle, in units of the covariance
    pooled = (away * np.linalg.solve(total, away.T).T).sum(1)
    near = (x * x_solved).sum(1) - 2 * best
    return {
        "task": task,
        "energy": energy[np.arange(len(x)), task].astype(np.float64),
        "Mahalanobis": near,
        "likelihood ratio": of_middle - best,
        "relative Mahalanobis": near - pooled,
        "share explained": (of_middle - best) / distance,
    }


def by_task(usual: Scores, found: Scores) -> Float64[np.ndarray, " image"]:
    """Energy from the mean (0) to the bar (1) of the found task: what ``known`` goes by where there
    are no prototypes."""
    energies = [usual["energy"][usual["task"] == at] for at in range(int(usual["task"].max()) + 1)]
    mean = np.array([each.mean() for each in energies])
    bar = np.array([np.quantile(each, 0.95) for each in energies])
    return (found["energy"] - mean[found["task"]]) / (bar - mean)[found["task"]]


if __name__ == "__main__":
    main()
