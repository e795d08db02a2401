"""Trainings that a benchmark compares: an arm, a task, a seed and rates each, measured one by one.

What is measured goes into docs/results/NAME.json cell by cell, and a run goes on where the last
one stopped.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from benchmarks.results import save_results, saved_results
from maskstore.stats import archive_stats
from supsup import Backbone, TensorTask, TrainedMask
from supsup.archives.network import create_archive
from supsup.archives.training import append
from supsup.evaluation.score import accuracy
from supsup.networks.per_task import read_own, rounded


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


def best_rates(held_out: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """For each arm that was compared the rates of the best accuracy."""
    best: dict[str, tuple[float, tuple[float, float]]] = {}
    for found in held_out.values():
        arm, rates = found["arm"], (found["lr"], found["own_lr"])
        right = found["float32"]["accuracy"]
        if arm not in best or right > best[arm][0]:
            best[arm] = right, rates
    return {arm: rates for arm, (_, rates) in best.items()}


def fit_head(
    head: nn.Linear,
    features: Float32[Tensor, "image feature"],
    labels: Int64[Tensor, " image"],
    decay: float,
) -> None:
    """Logistic regression, from zeros, by L-BFGS.

    Args:
        decay: L2 penalty on the head's weights, for the mean loss.
    """
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=300, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), labels) + decay * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)


def measure_missing(
    study: str,
    part: str,
    cells: Iterable[Cell],
    measure: Callable[[Cell], Mapping[str, Any]],
    about: Mapping[str, Any],
) -> None:
    """Measure those that a study's results lack.

    Args:
        part: of the results' JSON, by its key.
        about: what holds for all of them.
    """
    for cell in cells:
        document = saved_results(study)
        done = document.setdefault(part, {})
        if cell.key in done:
            continue
        begun = time.perf_counter()
        found = measure(cell)
        done[cell.key] = asdict(cell) | found | {"seconds": round(time.perf_counter() - begun)}
        told = document | {"torch": torch.__version__} | about
        save_results(study, told, f"python -m benchmarks.{study} …", quiet=True)
        print(cell.key, found, flush=True)


def kept(backbone: Backbone, trained: TrainedMask, task: TensorTask) -> dict[str, Any]:
    """Accuracy and bytes with own parameters as float32, and rounded as ``--per-task-dtype``."""
    start = backbone.own_parameters
    values = read_own(start, trained.tensors, "trained")
    others = {name: each for name, each in trained.tensors.items() if name not in start}
    found = {}
    for dtype in ("float32", "int8"):
        each = replace(trained, tensors=others | rounded(start, values, dtype))
        right = accuracy(backbone, each.masks, task, tensors=each.tensors)
        found[dtype] = {"accuracy": right, **_stored(backbone, each)}
    return found


def _stored(backbone: Backbone, trained: TrainedMask) -> dict[str, int]:
    """What an archive of this task takes, in bytes: mask, tensors, and weights no seed gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.h5"
        with create_archive(path, backbone) as archive:
            (one,) = append(archive, [trained])
            weights = archive_stats(archive).weights_bytes
        tensors = sum(each.bytes for each in one.tensors)
        return {
            "bytes": one.bytes + tensors,
            "mask_bytes": one.bytes,
            "tensor_bytes": tensors,
            "weights_bytes": weights,
        }
