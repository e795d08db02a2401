"""Data of a task that the archive does not have: which score tells, on which masks.

    SUPSUP_DATA=DIR python -m benchmarks.unknown_tasks

Over the archives of ``benchmarks.rate_frontier`` (trained where they are missing): their 20
PermutedMNIST tasks, and 20 permutations that none of their masks knows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from benchmarks.rate_frontier import TASKS, path_of, train_point
from benchmarks.rate_frontier_settings import Point, points_of
from benchmarks.results import picture, save_results, saved_results
from maskstore import MaskArchive
from supsup.archives import backbone_of
from supsup.datasets import load
from supsup.evaluation.score import accuracy_and_energy
from supsup.inference import MaskBank, infer_in
from supsup.inference.forward_all import forward_masks
from supsup.inference.objectives import Energy, Entropy, MaxProbability, Objective, Superfluous
from supsup.inference.ood import EnergyThreshold
from supsup.tasks import make_task, task_family
from supsup.tasks.protocol import TaskData
from supsup.tasks.subset import Subset, subset

FIRST_UNKNOWN = 300
IMAGES = 128
BATCHES = (1, 8, 32)
SCORES: dict[str, Objective] = {
    "energy": Energy(),
    "entropy, T = 1.5": Entropy(temperature=1.5),
    "superfluous": Superfluous(),
    "max probability": MaxProbability(),
}
"""The lowest over all masks is the score of an image or a batch; above is less familiar."""


def main() -> None:
    """Measure every archive and write docs/results/unknown_tasks.{json,svg}."""
    torch.set_num_threads(1)
    dataset = load("mnist")
    recipes = task_family("permuted-mnist", FIRST_UNKNOWN + TASKS)
    known = [make_task(recipe, dataset) for recipe in recipes[:TASKS]]
    unknown = [make_task(recipe, dataset) for recipe in recipes[FIRST_UNKNOWN:]]
    rows = []
    for point in points_of(saved_results("rate_frontier").get("held_out", [])):
        train_point(point, dataset)
        rows.append(measure(point, known, unknown))
        print(rows[-1], flush=True)
    save_results("unknown_tasks", {"tasks": TASKS, "images_a_task": IMAGES, "points": rows})
    draw(rows)


def measure(point: Point, known: Sequence[Any], unknown: Sequence[Any]) -> dict[str, Any]:
    """Scores of test images, none of which the bar of ``infer`` has seen."""
    with MaskArchive.open(path_of(point)) as archive:
        backbone = backbone_of(archive)
        bank = MaskBank(backbone, archive.packed(), classes=10)
        usual = []
        for task in known:
            first, _ = halves(task)
            _, energies = accuracy_and_energy(backbone, archive.get(task.name), first)
            usual.append(EnergyThreshold.of(energies))
    images = [[halves(task)[1].test_x[:IMAGES] for task in tasks] for tasks in (known, unknown)]
    return {
        "point": point.name,
        "scores": {
            name: {
                str(batch): separation(*(lowest(bank, xs, score, batch) for xs in images))
                for batch in BATCHES
            }
            for name, score in SCORES.items()
        },
        "infer_calls_known": {
            str(batch): {
                "of_known_tasks": share_known(bank, images[0], usual, batch),
                "of_unknown_tasks": share_known(bank, images[1], usual, batch),
            }
            for batch in BATCHES
        },
    }


def halves(task: TaskData) -> tuple[Subset, Subset]:
    """The test set in two: what training would measure the energy of, and what is judged."""
    whole = subset(task)
    count = len(whole.test_y)
    indices = torch.arange(count)
    return subset(whole, indices[: count // 2]), subset(whole, indices[count // 2 :])


def lowest(bank: MaskBank, xs: Sequence[Tensor], score: Objective, batch: int) -> np.ndarray:
    """The score of each image or batch: of the mask that is surest of it."""

    def reduce(logits: Tensor, masks: np.ndarray) -> Tensor:
        return score(logits, 10)

    return np.concatenate(
        [forward_masks(bank, x, reduce).reshape(len(bank), -1, batch).mean(2).min(0) for x in xs]
    )


def separation(known: np.ndarray, unknown: np.ndarray) -> dict[str, float]:
    """Area under the ROC curve; share of the unknown taken for known where 95% of the known are."""
    pairs = len(known) * len(unknown)
    area = mannwhitneyu(unknown, known).statistic / pairs
    missed = float(np.mean(unknown <= np.quantile(known, 0.95)))
    return {"auroc": round(float(area), 4), "unknown_taken_for_known": round(missed, 4)}


def share_known(
    bank: MaskBank, xs: Sequence[Tensor], usual: Sequence[EnergyThreshold], batch: int
) -> float:
    """How often ``infer``, as it is set by default, calls images or batches known."""
    answers = []
    for x in xs:
        for part in x.split(len(x) if batch == 1 else batch):
            found = infer_in(bank, part, mode="image" if batch == 1 else "batch")
            energy = torch.from_numpy(found.energy)
            groups = energy.split(batch)
            tasks = found.tasks[::batch]
            answers += [usual[t].knows(group) for t, group in zip(tasks, groups, strict=True)]
    return round(float(np.mean(answers)), 4)


def draw(rows: Sequence[dict[str, Any]]) -> None:
    """Area under the ROC curve of single images, by archive and score."""
    places = np.arange(len(rows))[::-1]
    with picture("unknown_tasks") as figure:
        axes = figure.subplots()
        for at, name in enumerate(SCORES):
            areas = [row["scores"][name]["1"]["auroc"] for row in rows]
            axes.barh(places + (1.5 - at) * 0.2, areas, 0.2, label=name)
        axes.set_yticks(places, [row["point"] for row in rows])
        axes.set_xlim(0.45, 1.02)
        axes.set_xticks(np.arange(0.5, 1.01, 0.1))
        axes.set_xlabel("area under the ROC curve, single images of known and of unknown tasks")
        figure.legend(loc="outside upper center", ncols=len(SCORES))


if __name__ == "__main__":
    main()
