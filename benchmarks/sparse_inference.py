"""Can masks be told apart, and by what? PermutedMNIST masks by rule, density and training.

The archives are made once and kept under ``.cache/inference`` (``--train NAME`` makes one, minutes
each); LeNet-300-100, 100 outputs, the default trainer where nothing else is said.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import picture, save_results, study_cache
from maskstore import MaskArchive
from maskstore.packed import PackedMasks
from supsup import Backbone, BackboneRecipe, TrainConfig, build
from supsup.archives import backbone_of, create_archive, iter_train_into
from supsup.datasets import load
from supsup.inference import (
    Binary,
    Energy,
    Entropy,
    Exhaustive,
    Hybrid,
    MaskBank,
    Method,
    Objective,
    OneShot,
    Superfluous,
)
from supsup.inference.query import Query
from supsup.inference.superposition import _slopes, superposed
from supsup.plots import colour_of, in_percent
from supsup.tasks import make_task, task_family

CACHE = study_cache("inference")
IMAGES, TASKS = 16, 20
TOPK = {"rule": "topk", "steps": 1000}
TRAININGS: dict[str, dict[str, Any]] = {
    "threshold, SGD": {"steps": 1000},
    "threshold, Adam": {"steps": 1000, "optimizer": "adam"},
    "top-k 50%, SGD": TOPK | {"density": 0.5},
    "top-k 5%, SGD": TOPK | {"density": 0.05},
    "top-k 5%, SGD, 100 steps": TOPK | {"density": 0.05, "steps": 100},
    "top-k 5%, own starts, SGD": TOPK | {"density": 0.05, "shared_scores": False},
    "top-k 5%, Adam": TOPK | {"density": 0.05, "optimizer": "adam"},
    "top-k 1.3% Erdős–Rényi, SGD, 2,000 steps": TOPK
    | {"density": 0.013, "budget": "erdos-renyi", "steps": 2000},
}
WAYS: dict[str, tuple[Method, Objective]] = {
    "one-shot H": (OneShot(), Entropy()),
    "one-shot H, T = 10": (OneShot(), Entropy(temperature=10.0)),
    "one-shot G": (OneShot(), Superfluous()),
    "binary G": (Binary(), Superfluous()),
    "hybrid of 4, G": (Hybrid(shortlist=4), Superfluous()),
    "exhaustive H": (Exhaustive(), Entropy()),
    "exhaustive G": (Exhaustive(), Superfluous()),
    "exhaustive energy": (Exhaustive(), Energy()),
}


def file_of(name: str) -> Path:
    """Where the masks of a training are kept."""
    return CACHE.path("".join(c if c.isalnum() else "-" for c in name) + ".h5")


def make(name: str) -> None:
    """Train the tasks of one row that are not there yet."""
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=100))
    path = file_of(name)
    if not path.exists():
        create_archive(path, backbone).close()
    data = load("mnist")
    with MaskArchive.open(path, "a") as archive:
        recipes = [r for r in task_family("permuted-mnist", TASKS) if r.name not in archive]
        tasks = (make_task(recipe, data) for recipe in recipes)
        for stored in iter_train_into(archive, backbone, tasks, TrainConfig(**TRAININGS[name])):
            print(stored.name, stored.metadata["metrics"]["accuracy"], flush=True)


def examine(path: Path, images: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Task accuracy of every way on the first tasks of an archive, and how One-Shot sees them."""
    with MaskArchive.open(path) as archive:
        backbone, packed = backbone_of(archive), archive.packed(archive.names()[:TASKS])
        accuracies = [archive.task(n).metadata["metrics"]["accuracy"] for n in packed.names]
    bank = MaskBank(backbone, packed, classes=10)
    truth = np.repeat(np.arange(len(packed)), IMAGES)
    x = torch.cat([images[name] for name in packed.names])
    row: dict[str, Any] = {
        "tasks": len(packed),
        "accuracy": float(np.mean(accuracies)),
        "density": bank.density,
        "shared_ones": shared_ones(packed),
        "image": {},
        "batch": {},
    }
    for name, (method, objective) in WAYS.items():
        found = method.evidence(Query(bank=bank, x=x, objective=objective, per_image=True)).argmax(
            1
        )
        row["image"][name] = float((found == truth).mean())
        together = [
            method.evidence(Query(bank=bank, x=images[task], objective=objective, per_image=False))[
                0
            ].argmax()
            == at
            for at, task in enumerate(packed.names)
        ]
        row["batch"][name] = float(np.mean(together))
    row["slopes"] = slopes_by_layer(backbone, bank, x, truth)
    return row


def shared_ones(packed: PackedMasks) -> float:
    """Share of a mask's ones that another mask has, too."""
    bits = np.unpackbits(packed.bits, axis=1).astype(np.float32)
    common = bits @ bits.T
    off = common.sum() - np.trace(common)
    return float(off / (len(bits) - 1) / np.trace(common))


def slopes_by_layer(
    backbone: Backbone, bank: MaskBank, x: torch.Tensor, truth: np.ndarray
) -> dict[str, list[float]]:
    """For ∂G/∂α by layer: the right mask's less the mean, in deviations, and its mean rank."""
    query = Query(bank=bank, x=x, objective=Superfluous(), per_image=True)
    flat = _slopes(query, superposed(bank)).flat * bank.weights
    bits, found = bank.source.read(slice(0, len(bank))), {}
    for name, _, where, _ in backbone.layout.layers():
        numbers = slice(8 * where.start, 8 * where.stop)
        slopes = bank.kernels.multiply(bits[:, where], flat[:, numbers]).numpy()
        own = slopes[np.arange(len(truth)), truth]
        apart = (own - slopes.mean(1)) / slopes.std(1)
        rank = (slopes < own[:, None]).sum(1)
        found[name] = [float(apart.mean()), float(rank.mean())]
    return found


def plot(rows: dict[str, Any]) -> None:
    """Task accuracy of single images, One-Shot and hybrid beside trying every mask."""
    shown = ("one-shot H", "one-shot G", "hybrid of 4, G", "exhaustive G")
    labels = [f"{name} ({row['tasks']})" for name, row in rows.items()]
    with picture("sparse_inference") as figure:
        axes = figure.subplots()
        for at, way in enumerate(shown):
            places = np.arange(len(rows)) + 0.2 * (at - 1.5)
            found = [row["image"][way] for row in rows.values()]
            hatch = "//" if way == "one-shot H" else ""
            axes.barh(places, found, 0.2, color=colour_of(way), hatch=hatch, label=way)
        axes.set_yticks(np.arange(len(rows)), labels)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.02)
        in_percent(axes.xaxis, "task accuracy, single images")
        figure.legend(loc="outside lower center", ncols=len(shown))


def main() -> None:
    """Examine what is trained; ``--train NAME`` trains a row first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", choices=TRAININGS)
    name = parser.parse_args().train
    if name:
        make(name)
        return
    data = load("mnist")
    images = {}
    for recipe in task_family("permuted-mnist", TASKS):
        images[recipe.name] = make_task(recipe, data).test_batch(torch.arange(100, 100 + IMAGES))[0]
    rows = {}
    for name in TRAININGS:
        if file_of(name).exists():
            rows[name] = examine(file_of(name), images)
            print(name, json.dumps(rows[name], indent=1), flush=True)
    save_results("sparse_inference", {"images_a_task": IMAGES, "rows": rows})
    plot(rows)


if __name__ == "__main__":
    main()
