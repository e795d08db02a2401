"""Trainings that a benchmark compares: an arm, a task, a seed and rates each, measured one by one.

What is measured goes into docs/results/NAME.json cell by cell, and a run goes on where the last
one stopped.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import fmean, stdev
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


FIELDS = tuple(each.name for each in fields(Cell))


def family(arm: str) -> str:
    """What an arm is a form of: ``full`` of ``full:frozen``; of the forms the best is reported."""
    return arm.partition(":")[0]


def accuracy_of(found: Mapping[str, Any]) -> float:
    """A cell's, with own parameters in full where it has any."""
    return float(found.get("float32", found)["accuracy"])


def best_cells(held_out: Mapping[str, Any], steps: int) -> dict[str, Cell]:
    """For each family of arms the held-out cell of the best accuracy at so many steps.

    Where none was compared at so many steps, those at any number of them count.
    """
    cells = {name: Cell(**{key: found[key] for key in FIELDS}) for name, found in held_out.items()}
    best: dict[str, tuple[tuple[bool, float], Cell]] = {}
    for name, cell in cells.items():
        rank = cell.steps == steps, accuracy_of(held_out[name])
        if family(cell.arm) not in best or rank > best[family(cell.arm)][0]:
            best[family(cell.arm)] = rank, cell
    return {arm: cell for arm, (_, cell) in best.items()}


def require_chosen(arms: Sequence[str], chosen: Mapping[str, Cell]) -> None:
    """End the program where no rates were compared for an arm that is to be measured."""
    if missing := [arm for arm in arms if arm not in chosen]:
        raise SystemExit(f"--arms: no rates for {', '.join(missing)}; compare them with --choose")


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
        if cell.key in saved_results(study).get(part, {}):
            continue
        begun = time.perf_counter()
        found = measure(cell)
        seconds = round(time.perf_counter() - begun)
        # Read now: another process may have added cells meanwhile.
        document = saved_results(study)
        done = document.setdefault(part, {})
        done[cell.key] = asdict(cell) | found | {"seconds": seconds}
        told = document | {"torch": torch.__version__} | about
        save_results(study, told, f"python -m benchmarks.{study} …", quiet=True)
        print(cell.key, found, flush=True)


def sum_up(study: str, tasks: Sequence[int]) -> list[dict[str, Any]]:
    """Write the :func:`summary` over these tasks into a study's results."""
    document = saved_results(study)
    document["summary"] = summary(document.get("cells", {}), tasks)
    save_results(study, document, document["command"], quiet=True)
    found: list[dict[str, Any]] = document["summary"]
    return found


def summary(cells: Mapping[str, Any], tasks: Sequence[int]) -> list[dict[str, Any]]:
    """Mean accuracy over tasks of each arm, and its spread over the seeds that have all of them.

    Accuracy and bytes with own parameters as int8, where an arm keeps any.
    """
    groups: dict[tuple[Any, ...], dict[int, dict[int, Any]]] = {}
    for cell in cells.values():
        key = cell["arm"], cell["steps"], cell["lr"], cell["own_lr"]
        of_seed = groups.setdefault(key, {}).setdefault(cell["seed"], {})
        of_seed[cell["task"]] = cell.get("int8", cell["float32"])
    rows = []
    for (arm, steps, lr, own), seeds in groups.items():
        whole = {
            seed: [found[task] for task in tasks]
            for seed, found in sorted(seeds.items())
            if found.keys() >= set(tasks)
        }
        if whole:
            means = [fmean(each["accuracy"] for each in found) for found in whole.values()]
            rows.append(
                {
                    "arm": arm,
                    "steps": steps,
                    "lr": lr,
                    "own_lr": own,
                    "tasks": list(tasks),
                    "seeds": list(whole),
                    "accuracy": round(fmean(means), 4),
                    "spread": round(stdev(means), 4) if len(means) > 1 else 0.0,
                    "by_seed": [round(mean, 4) for mean in means],
                    "by_task": [
                        round(fmean(found[at]["accuracy"] for found in whole.values()), 4)
                        for at in range(len(tasks))
                    ],
                    "bytes": round(
                        fmean(each["bytes"] for found in whole.values() for each in found)
                    ),
                }
            )
    return sorted(rows, key=lambda row: (row["steps"], row["bytes"]))


def table(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Rows of :func:`summary` that are of the same tasks, as a page shows them, the best first.

    Args:
        names: arm → what it is called; others are left out.
    """
    tasks = rows[0]["tasks"]
    head = ["", *(f"task {task}" for task in tasks), "mean", "seeds", "bytes a task"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in sorted(rows, key=lambda row: -row["accuracy"]):
        if row["arm"] in names:
            mean = f"{row['accuracy']:.3f}"
            if len(row["seeds"]) > 1:
                mean += f" ± {row['spread']:.3f}"
            means = [f"{each:.3f}" for each in row["by_task"]]
            name = names[row["arm"]]
            lines.append([name, *means, mean, str(len(row["seeds"])), f"{row['bytes']:,}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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
