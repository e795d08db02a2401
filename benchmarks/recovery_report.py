"""The figures of hopfield_recovery, from the pieces that its parts left."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.results import FOLDER, save_results
from supsup.plots import save_figure

JUDGED = {
    "mnist": range(20, 40),
    "own-starts": range(20, 24),
    "fashion": range(20),
    "unknown": range(20, 40),
    "unknown-fashion": range(20),
}
"""Seeds of each part that no setting was chosen on."""


def report(folder: Path) -> None:
    """Write docs/results/hopfield_recovery.{json,png} from all pieces of judged seeds."""
    runs = {name: _rows(folder, name, "runs") for name in ("mnist", "own-starts", "fashion")}
    unknown = {
        "mnist": _rows(folder, "unknown", "unknown"),
        "fashion": _rows(folder, "unknown-fashion", "unknown"),
    }
    many = [json.loads(path.read_text()) for path in folder.glob("many-*.json")]
    figures: dict[str, Any] = {
        "judged": {name: summary(rows) for name, rows in runs.items() if rows},
        "unknown": {
            name: {
                "runs": len(rows),
                "reported_unknown": sum(not row["known"] for row in rows),
                "median_batches": float(np.median([row["batches"] for row in rows])),
            }
            for name, rows in unknown.items()
            if rows
        },
        "many": sorted(many, key=lambda row: (row["count"], row["rule"])),
        "missed": [
            {key: row[key] for key in ("seed", "task", "hamming", "accuracy", "entropy")}
            for rows in runs.values()
            for row in rows
            if row["hamming"]
        ],
    }
    _plot(runs["mnist"], figures["many"])
    save_results("hopfield_recovery", figures)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is judged: exactness, accuracy, cost; the paper's recipe on the same masks beside it."""

    def mean(key: str) -> float:
        return round(float(np.mean([row[key] for row in rows])), 5)

    return {
        "runs": len(rows),
        "seeds": sorted({row["seed"] for row in rows}),
        "exact": sum(not row["hamming"] for row in rows),
        "exact_after_first_descent": sum(
            not row["hamming"] and not row["restarts"] for row in rows
        ),
        "explicit_accuracy": mean("explicit_accuracy"),
        "accuracy": mean("accuracy"),
        "worst_accuracy": min(row["accuracy"] for row in rows),
        "worst_explicit_accuracy": min(row["explicit_accuracy"] for row in rows),
        "called_unknown": sum(row["known"] is False for row in rows),
        "median_batches": float(np.median([row["batches"] for row in rows])),
        "most_batches": max(row["batches"] for row in rows),
        "median_seconds": round(float(np.median([row["seconds"] for row in rows])), 2),
        "paper": _paper(rows) if "paper_hamming" in rows[0] else None,
    }


def _paper(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "exact": sum(not row["paper_hamming"] for row in rows),
        "accuracy": round(float(np.mean([row["paper_accuracy"] for row in rows])), 5),
        "worst_accuracy": min(row["paper_accuracy"] for row in rows),
        "median_batches": float(np.median([row["paper_batches"] for row in rows])),
        "median_seconds": round(float(np.median([row["paper_seconds"] for row in rows])), 2),
    }


def _rows(folder: Path, name: str, key: str) -> list[dict[str, Any]]:
    paths = (folder / f"{name}-{seed}.json" for seed in JUDGED[name])
    return [row for path in paths if path.exists() for row in json.loads(path.read_text())[key]]


def _plot(rows: list[dict[str, Any]], many: list[dict[str, Any]]) -> None:
    """Bits that differ by step; accuracy by seed and way; exact rate by the number stored."""
    figure = Figure(figsize=(13.5, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for row in rows:
        left.plot(row["trajectory"], color="#1f6f8b", alpha=0.25, linewidth=0.8)
    left.set_xlabel("step")
    left.set_ylabel("bits of 4,096 that differ")
    left.set_title("Recovery, SplitMNIST, every run", fontsize=10)
    seeds = sorted({row["seed"] for row in rows})
    for key, marker, colour, label in (
        ("explicit_accuracy", "_", "black", "explicit masks"),
        ("accuracy", ".", "#1f6f8b", "recovered"),
        ("paper_accuracy", "x", "#c44e52", "recovered by the paper's recipe"),
    ):
        values = [
            [100 * row[key] for row in rows if row["seed"] == seed and row["task"].endswith(task)]
            for task in ("/0", "/1", "/2", "/3", "/4")
            for seed in seeds
        ]
        flat = [value[0] for value in values]
        middle.plot(seeds * 5, flat, marker, color=colour, label=label, markersize=6)
    middle.set_xticks(seeds)
    middle.set_xlabel("seed")
    middle.set_ylabel("test accuracy, %, five tasks each")
    middle.legend(fontsize=8)
    middle.set_title("With and without the memory", fontsize=10)
    for rule in sorted({row["rule"] for row in many}):
        points = [(row["count"], 100 * row["exact"] / row["runs"]) for row in many]
        chosen = [point for point, row in zip(points, many, strict=True) if row["rule"] == rule]
        right.plot(*zip(*chosen, strict=True), "o-", label=rule)
    right.set_xlabel("permuted two-class tasks in one memory")
    right.set_ylabel("recovered exactly, %")
    right.set_ylim(-3, 103)
    if many:
        right.legend(fontsize=8)
    save_figure(figure, FOLDER / "hopfield_recovery.png")
