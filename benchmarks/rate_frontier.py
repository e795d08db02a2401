"""Bits a weight against accuracy against finding the task: 20 PermutedMNIST tasks a point.

    SUPSUP_DATA=DIR python -m benchmarks.rate_frontier

Archives are kept under ``.cache/rate_frontier`` and gone on with, so the study can be run in
pieces.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import picture, save_results, study_cache
from maskstore import MaskArchive
from maskstore.maintenance import compact
from maskstore.stats import archive_stats
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import (
    backbone_of,
    create_archive,
    evaluate_archive,
    iter_train_into,
    missing_tasks,
    tasks_of,
)
from supsup.datasets import load
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.plots import OURS, ROW, curve_styles
from supsup.tasks import make_task, task_family

CACHE = study_cache("rate_frontier")
TASKS = 20
OUTPUTS = 100
WAYS = (
    ("exhaustive", "entropy", "image"),
    ("exhaustive", "superfluous", "image"),
    ("one-shot", "entropy", "image"),
    ("exhaustive", "entropy", "batch"),
    ("exhaustive", "superfluous", "batch"),
    ("one-shot", "entropy", "batch"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One way of training."""

    name: str
    config: TrainConfig
    init: str = "signed-constant"
    fan_density: float = 0.5


def _gradual(density: float, steps: int, outliers: float = 0.0) -> Point:
    return Point(
        name=f"gradual, {100 * density:g}%, {steps:,} steps" + ", outliers" * bool(outliers),
        config=TrainConfig(
            steps=steps,
            rule="gradual",
            density=density,
            budget="erdos-renyi",
            optimizer="normed-sgd",
            outliers=outliers,
        ),
        init="scaled-signed-constant",
        fan_density=density,
    )


POINTS = (
    Point(
        name="threshold, RMSprop 1e-4 (paper)",
        config=TrainConfig(steps=1000, optimizer="rmsprop", lr=1e-4, schedule="constant"),
    ),
    Point(name="threshold, SGD 2.0", config=TrainConfig(steps=1000)),
    _gradual(0.05, 1000),
    _gradual(0.02, 1000),
    _gradual(0.0064, 4000),
    _gradual(0.05, 1000, outliers=0.03),
    _gradual(0.02, 1000, outliers=0.03),
    _gradual(0.0064, 4000, outliers=0.03),
    Point(name="threshold, SGD 2.0, outliers", config=TrainConfig(steps=1000, outliers=0.03)),
)


def main() -> None:
    """Train what is missing, then measure every point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=256, help="of each test set, for GNu")
    parser.add_argument("--train", type=int, help="only train this point, 0 to 8")
    arguments = parser.parse_args()
    dataset = load("mnist")
    rows = []
    if arguments.train is not None:
        train_point(POINTS[arguments.train], dataset)
        return
    for point in POINTS:
        train_point(point, dataset)
        rows.append(measure(point, arguments.images))
        print(rows[-1], flush=True)
    save_results(
        "rate_frontier",
        {"tasks": TASKS, "outputs": OUTPUTS, "images_a_task": arguments.images, "points": rows},
    )
    draw(rows)


def path_of(point: Point) -> Path:
    """Where a point's archive is."""
    plain = "".join(c if c.isalnum() else "-" for c in point.name)
    return CACHE.path(f"{plain}.h5")


def train_point(point: Point, dataset: Any) -> None:
    """Train the tasks that the point's archive lacks."""
    path = path_of(point)
    if path.exists():
        archive = MaskArchive.open(path, "a")
    else:
        recipe = BackboneRecipe(
            net="lenet-300-100",
            outputs=OUTPUTS,
            init=point.init,
            fan_density=point.fan_density,
        )
        archive = create_archive(path, build(recipe), point.config)
    with archive:
        recipes = task_family("permuted-mnist", TASKS)
        missing = missing_tasks(archive, recipes, point.config, resume=True)
        tasks = [make_task(recipe, dataset) for recipe in missing]
        for stored in iter_train_into(archive, backbone_of(archive), tasks, point.config):
            print(f"{point.name}: {stored.name} {stored.metadata['metrics']}", flush=True)
        if missing:
            compact(archive)


def measure(point: Point, images: int) -> dict[str, Any]:
    """Bytes, accuracy with the task given, and accuracy and task accuracy by each way."""
    with MaskArchive.open(path_of(point)) as archive:
        stats = archive_stats(archive)
        assert stats.entropy_bytes_per_task is not None
        backbone = backbone_of(archive)
        row: dict[str, Any] = {
            "point": point.name,
            "bits_per_weight": stats.bits_per_weight,
            "bytes_per_task": stats.bytes_per_task,
            "payload_bits_per_weight": 8 * stats.payload_bytes / TASKS / stats.bits_per_mask,
            "entropy_bits_per_weight": 8 * stats.entropy_bytes_per_task / stats.bits_per_mask,
            "density": sum(task.ones for task in archive) / TASKS / stats.bits_per_mask,
            "codecs": sorted(stats.by_codec),
            "GG": evaluate_archive(archive, backbone).accuracy,
            "GNu": {},
        }
        bank = MaskBank(backbone, archive.packed(), classes=10)
        for method, objective, mode in WAYS:
            found = evaluate_inferred(
                GNU,
                bank,
                tasks_of(archive),
                method=method,
                objective=objective,
                mode=mode,
                batch=128,
                batches=images // 128,
            )
            row["GNu"][f"{method}, {objective}, {mode}"] = {
                "accuracy": found.accuracy,
                "task_accuracy": found.task_accuracy,
            }
        # On the same images as GNu: what remains is the price of not being told the task.
        row["GG_on_these_images"] = _given(archive, backbone, images)
    return row


def _given(archive: MaskArchive, backbone: Any, images: int) -> float:
    total = 0.0
    for task in tasks_of(archive):
        weights = backbone.masked(backbone.tensors(archive.get(task.name)))
        x, y = next(iter(task.test_batches(images)))
        total += float((backbone.run(x, weights)[:, : task.classes].argmax(1) == y).float().mean())
    return total / TASKS


def draw(rows: list[dict[str, Any]]) -> None:
    """Accuracy against bits (left), task accuracy against bits (right); filled: with outliers."""
    kinds = [
        ([row for row in rows if "outliers" not in row["point"]], "none"),
        ([row for row in rows if "outliers" in row["point"]], "full"),
    ]
    ticks = (0.06, 0.12, 0.25, 0.5, 1.0)
    with picture("rate_frontier", ROW) as figure:
        left, right = figure.subplots(1, 2)
        for some, fill in kinds:
            bits = [row["bits_per_weight"] for row in some]
            accuracies = [100 * row["GG"] for row in some]
            left.plot(bits, accuracies, "o", color=OURS, fillstyle=fill)
            for way, style in curve_styles(list(rows[0]["GNu"])).items():
                found = [100 * row["GNu"][way]["task_accuracy"] for row in some]
                label = way if fill == "full" else None
                look = style | {"linestyle": "none", "fillstyle": fill}
                right.plot(bits, found, label=label, **look)
        for row in rows:
            left.annotate(
                row["point"],
                (row["bits_per_weight"], 100 * row["GG"]),
                fontsize=7,
                xytext=(4, -9),
                textcoords="offset points",
            )
        left.set_ylabel("accuracy with the task given, %")
        right.set_ylabel("task accuracy, % (filled: trained with outliers)")
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        for axes in (left, right):
            axes.set(xscale="log", xlim=(0.05, 1.2))
            axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            axes.set_xlabel("bits a weight, all of the file (log scale)")


if __name__ == "__main__":
    main()
