"""What the study of bits against accuracy trains, and how sparse training's settings are chosen."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.held_out import validation_split
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import create_archive, train_into
from supsup.datasets import ImageSet
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import sample_test

OUTPUTS = 100
OUTLIERS = ", outliers"
"""What the name of a training with outliers ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One way of training."""

    name: str
    config: TrainConfig
    init: str = "signed-constant"
    fan_density: float = 0.5


SPARSE = ((0.05, 1000), (0.02, 1000), (0.0064, 4000))
"""Densities of the rule ``gradual``, and the steps of each."""

HELD_OUT, FEW, SEVERAL = 1, 2, 4
"""Seed of the tasks that settings are chosen on, and how many: enough to be learnt, or found."""

RATES, STARTS, SHARES = (5e-5, 2.5e-5, 1e-4, 2e-4), (0.2, 0.1, 0.4, 0.05), (0.03, 0.01, 0.1)
"""What is compared: the rate, the density at first, and the share of outliers in a batch; each
under the best of those before it, and until then the first. Densities at first are those above
the last one."""

Row = dict[str, Any]


def gradual(density: float, steps: int, **settings: float) -> Point:
    """Masks that become ever sparser; ``settings`` are the rate, the start, and the outliers."""
    return Point(
        name=f"gradual, {100 * density:g}%, {steps:,} steps" + OUTLIERS * ("outliers" in settings),
        config=TrainConfig(
            steps=steps,
            rule="gradual",
            density=density,
            budget="erdos-renyi",
            optimizer="normed-sgd",
            **settings,  # type: ignore[arg-type]
        ),
        init="scaled-signed-constant",
        fan_density=density,
    )


def recipe_of(point: Point, seed: int = 0) -> BackboneRecipe:
    """The network of a point."""
    return BackboneRecipe(
        net="lenet-300-100",
        outputs=OUTPUTS,
        init=point.init,
        fan_density=point.fan_density,
        seed=seed,
    )


def points_of(held_out: list[Row]) -> tuple[Point, ...]:
    """The rows of the page, sparse training with the settings that did best on images kept back;
    with the first of each where none were compared."""
    first = {"lr": RATES[0], "start_density": STARTS[0]}
    best = dict.fromkeys((density for density, _ in SPARSE), first) | best_rates(held_out)
    share = best_share(held_out)
    return (
        Point(
            name="threshold, RMSprop 1e-4 (paper)",
            config=TrainConfig(steps=1000, optimizer="rmsprop", lr=1e-4, schedule="constant"),
        ),
        Point(name="threshold, SGD 2.0", config=TrainConfig(steps=1000)),
        *(gradual(density, steps, **best[density]) for density, steps in SPARSE),
        *(gradual(density, steps, **best[density], outliers=share) for density, steps in SPARSE),
        Point(name=f"threshold, SGD 2.0{OUTLIERS}", config=TrainConfig(steps=1000, outliers=share)),
    )


def best_rates(held_out: list[Row]) -> dict[float, dict[str, float]]:
    """Of each density, the rate and the start that were most accurate."""
    found = {}
    for density in dict.fromkeys(row["density"] for row in held_out):
        rows = [row for row in held_out if row["density"] == density and not row["outliers"]]
        row = max(rows, key=lambda row: row["accuracy"])
        found[density] = {key: row[key] for key in ("lr", "start_density")}
    return found


def best_share(held_out: list[Row]) -> float:
    """The share of outliers under which most images are right without the task given, over all
    densities."""
    right: dict[float, list[float]] = {SHARES[0]: []}
    for row in held_out:
        if row["outliers"]:
            right.setdefault(row["outliers"], []).append(row["GNu"])
    return max(right, key=lambda share: sum(right[share]))


def choose(dataset: ImageSet, before: Sequence[Row] = ()) -> Iterator[list[Row]]:
    """All settings that were tried so far, after each: rates and starts, then shares of outliers
    under the best of them. What was tried before is not tried again."""
    rows: list[Row] = []

    def row_of(point: Point, count: int) -> Row:
        what = compared(point, count).items()
        again = (row for row in before if what <= row.items())
        return next(again, None) or tried(point, dataset, count)

    for density, steps in SPARSE:
        for lr in RATES:
            point = gradual(density, steps, lr=lr, start_density=STARTS[0])
            rows.append(row_of(point, FEW))
            yield rows
        lr = best_rates(rows)[density]["lr"]
        for start in STARTS[1:]:
            if start > density:
                rows.append(row_of(gradual(density, steps, lr=lr, start_density=start), FEW))
                yield rows
    best = best_rates(rows)
    for density, steps in SPARSE:
        for share in SHARES:
            rows.append(row_of(gradual(density, steps, **best[density], outliers=share), SEVERAL))
            yield rows


def compared(point: Point, count: int) -> Row:
    """What tells one that was tried from another."""
    fields = ("density", "steps", "lr", "start_density", "outliers")
    return {key: getattr(point.config, key) for key in fields} | {"tasks": count}


def tried(point: Point, dataset: ImageSet, count: int) -> Row:
    """Accuracy on images kept back, the task given, and found by trying every mask."""
    config = replace(point.config, seed=HELD_OUT)
    data = validation_split(dataset)
    recipes = task_family(f"permuted-{data.name}", count, HELD_OUT)
    tasks = [make_task(recipe, data) for recipe in recipes]
    backbone = build(recipe_of(point, HELD_OUT))
    with (
        tempfile.TemporaryDirectory() as folder,
        create_archive(Path(folder, "a.h5"), backbone, config) as archive,
    ):
        train_into(archive, backbone, tasks, config, parallel=1)
        given = fmean(float(task.metadata["metrics"]["accuracy"]) for task in archive)
        bank = MaskBank(backbone, archive.packed(), classes=10)
    few = [sample_test(task, 1000, seed=HELD_OUT) for task in tasks]
    found = evaluate_inferred(GNU, bank, few, method="exhaustive", mode="image")
    return {
        **compared(point, count),
        "accuracy": given,
        "GNu": found.accuracy,
        "task_accuracy": found.task_accuracy,
    }
