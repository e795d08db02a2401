"""Bits a weight against accuracy against finding the task: 20 PermutedMNIST tasks a point.

    SUPSUP_DATA=DIR python -m benchmarks.rate_frontier

Archives are kept under ``.cache/rate_frontier`` and gone on with, so the study can be run in
pieces. ``--choose`` compares settings of sparse training on other permutations and training images
kept back; every row then takes the best. ``--prototypes`` adds statistics to the archives that are
there already and measures these alone: their bytes, and the tasks that they find, which are the
same whatever the masks are.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.rate_frontier_settings import (
    OUTLIERS,
    OUTPUTS,
    Point,
    choose,
    points_of,
    recipe_of,
)
from benchmarks.results import picture, save_results, saved_results, study_cache
from maskstore import MaskArchive
from maskstore.maintenance import compact
from maskstore.stats import archive_stats
from supsup import build
from supsup.archives import (
    backbone_of,
    bank_of,
    create_archive,
    evaluate_archive,
    iter_train_into,
    missing_tasks,
    tasks_of,
)
from supsup.archives.tasks import accuracy_of
from supsup.datasets import ImageSet, load
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.inference.prototypes import add_prototypes
from supsup.plots import OURS, ROW, curve_styles, in_percent
from supsup.tasks import make_task, task_family

CACHE = study_cache("rate_frontier")
TASKS = 20
WAYS = (
    ("exhaustive", "entropy", "image"),
    ("exhaustive", "superfluous", "image"),
    ("one-shot", "entropy", "image"),
    ("exhaustive", "entropy", "batch"),
    ("exhaustive", "superfluous", "batch"),
    ("one-shot", "entropy", "batch"),
)


def main() -> None:
    """Train what is missing, then measure every point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=256, help="of each test set, for GNu")
    parser.add_argument("--choose", action="store_true", help="compare settings, held out")
    parser.add_argument("--train", type=int, help="only train this point, 0 to 8")
    parser.add_argument("--prototypes", action="store_true", help="only what statistics find")
    arguments = parser.parse_args()
    dataset = load("mnist")
    document = saved_results("rate_frontier")
    if arguments.choose:
        for held_out in choose(dataset, document.get("held_out", [])):
            print(held_out[-1], flush=True)
            save_results("rate_frontier", {**document, "held_out": held_out}, quiet=True)
        return
    points = points_of(document.get("held_out", []))
    if arguments.train is not None:
        train_point(points[arguments.train], dataset)
        return
    rows = []
    for point in points if not arguments.prototypes else ():
        train_point(point, dataset)
        rows.append(measure(point, arguments.images))
        print(rows[-1], flush=True)
    rows = rows or document["points"]
    statistics = by_prototypes(points, arguments.images)
    save_results(
        "rate_frontier",
        {
            "tasks": TASKS,
            "outputs": OUTPUTS,
            "images_a_task": arguments.images,
            "held_out": document.get("held_out", []),
            "prototypes": statistics,
            "points": rows,
        },
    )
    draw(rows, statistics)


def path_of(point: Point) -> Path:
    """Where a point's archive is."""
    plain = "".join(c if c.isalnum() else "-" for c in point.name)
    return CACHE.path(f"{plain}.h5")


def train_point(point: Point, dataset: ImageSet) -> None:
    """Train the tasks that the point's archive lacks."""
    path = path_of(point)
    if path.exists():
        archive = MaskArchive.open(path, "a")
    else:
        archive = create_archive(path, build(recipe_of(point)), point.config)
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
            "lowest": min(accuracy_of(archive, task) for task in archive),
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


def by_prototypes(points: Sequence[Point], images: int) -> dict[str, Any]:
    """What statistics of the tasks add in bits, and what they find, in a copy of each archive."""
    found: dict[str, Any] = {}
    for point in points:
        if not path_of(point).exists():
            continue
        path = path_of(point).with_suffix(".prototypes.h5")
        shutil.copyfile(path_of(point), path)
        with MaskArchive.open(path, "a") as archive:
            backbone, before = backbone_of(archive), archive_stats(archive)
            add_prototypes(archive, backbone, tasks_of(archive))
            compact(archive)
        with MaskArchive.open(path) as archive:
            stats, bank = archive_stats(archive), bank_of(archive, backbone)
            assert stats.bits_per_weight is not None
            assert before.bits_per_weight is not None
            found["own_bytes"] = stats.tensor_bytes_per_task
            found["shared_bytes"] = stats.shared_bytes
            found["bits_per_weight"] = stats.bits_per_weight - before.bits_per_weight
            rows = found.setdefault("points", {})[point.name] = {
                "GG_on_these_images": _given(archive, backbone, images)
            }
            for mode in ("image", "batch"):
                answer = evaluate_inferred(
                    GNU,
                    bank,
                    tasks_of(archive),
                    method="prototypes",
                    mode=mode,
                    batch=128,
                    batches=images // 128,
                )
                found[mode] = answer.task_accuracy
                rows[mode] = answer.accuracy
            print(point.name, found, flush=True)
    return found


def _given(archive: MaskArchive, backbone: Any, images: int) -> float:
    total = 0.0
    for task in tasks_of(archive):
        weights = backbone.masked(backbone.tensors(archive.get(task.name)))
        x, y = next(iter(task.test_batches(images)))
        total += float((backbone.run(x, weights)[:, : task.classes].argmax(1) == y).float().mean())
    return total / TASKS


def draw(rows: list[dict[str, Any]], statistics: dict[str, Any]) -> None:
    """Against bits: accuracy with the task given, and how often the task is found, of single images
    and of batches; by statistics at the bits of both. Filled: with outliers; a line joins the same
    training without and with them."""
    plain = [row for row in rows if not row["point"].endswith(OUTLIERS)]
    pairs = [[row for row in rows if row["point"].startswith(one["point"])] for one in plain]
    ticks = (0.06, 0.12, 0.25, 0.5, 1.0)
    with picture("rate_frontier", ROW) as figure:
        left, *found = figure.subplots(1, 3)
        for pair, shape in zip(pairs, "osD^v", strict=True):
            _joined(left, pair, [row["GG"] for row in pair], shape, OURS, pair[0]["point"])
        for axes, mode in zip(found, ("image", "batch"), strict=True):
            ways = [way for way in rows[0]["GNu"] if way.endswith(mode)]
            for way, style in curve_styles(ways).items():
                for pair in pairs:
                    shares = [row["GNu"][way]["task_accuracy"] for row in pair]
                    label = way.removesuffix(f", {mode}") if pair is pairs[0] else None
                    _joined(axes, pair, shares, style["marker"], style["color"], label)
            with_them = [row["bits_per_weight"] + statistics["bits_per_weight"] for row in plain]
            axes.plot(
                with_them,
                [statistics[mode]] * len(with_them),
                label="prototypes, with their bits",
                marker="*",
                color=OURS,
                linestyle="none",
            )
            axes.set_ylim(-0.03, 1.03)
        in_percent(left.yaxis, "accuracy with the task given")
        in_percent(found[0].yaxis, "task found, single images")
        in_percent(found[1].yaxis, "task found, batches of 128")
        for axes, name in (
            (left, "training (filled: with outliers)"),
            (found[0], "method, objective"),
        ):
            handles, labels = axes.get_legend_handles_labels()
            side = "left" if axes is left else "right"
            figure.legend(handles, labels, title=name, loc=f"outside lower {side}", ncols=2)
        for axes in (left, *found):
            axes.set(xscale="log", xlim=(0.05, 1.2), xlabel="bits a weight, all of the file")
            axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
            axes.minorticks_off()


def _joined(
    axes: Axes,
    pair: list[dict[str, Any]],
    values: list[float],
    marker: str,
    colour: str,
    label: str | None,
) -> None:
    bits = [row["bits_per_weight"] for row in pair]
    axes.plot(bits, values, color=colour, linewidth=0.6)
    for at, fill in enumerate(("none", "full")[: len(pair)]):
        shown = label if at == 0 else None
        look = {"marker": marker, "color": colour, "fillstyle": fill, "linestyle": "none"}
        axes.plot(bits[at], values[at], label=shown, **look)


if __name__ == "__main__":
    main()
