"""The figures of hopfield_recovery, from the pieces that its parts left."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.results import picture, save_results
from supsup.figures.cache import Cache
from supsup.plots import DARK, OURS, ROW, WARM, curve_styles, in_percent

JUDGED = {
    "mnist": range(20, 40),
    "own-starts": range(20, 24),
    "fashion": range(20),
    "unknown": range(20, 40),
    "unknown-fashion": range(20),
}
"""Seeds of each part that no setting was chosen on."""

DRAWN_KEYS = (
    "seed",
    "task",
    "explicit_accuracy",
    "accuracy",
    "hamming",
    "paper_accuracy",
    "paper_hamming",
    "trajectory",
)
"""What the picture is drawn from, of each run."""


def piece(part: str, seed: int) -> tuple[str, dict[str, Any]]:
    """The name and the settings that a seed of a part is found by."""
    return f"{part}-{seed}", {"part": part, "seed": seed, "net": "bn-2048", "epochs": 1}


def many_piece(count: int, rule: str) -> tuple[str, dict[str, Any]]:
    """The same of so many tasks in one memory."""
    return f"many-{count}-{rule}", {"count": count, "rule": rule, "net": "bn-2048", "epochs": 1}


def report(pieces: Cache, several: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Write docs/results/hopfield_recovery.{json,svg} from all pieces of judged seeds.

    Args:
        several: the pieces of many tasks in one memory; those that are missing are left out.
    """
    runs = {name: _rows(pieces, name, "runs") for name in ("mnist", "own-starts", "fashion")}
    unknown = {
        "mnist": _rows(pieces, "unknown", "unknown"),
        "fashion": _rows(pieces, "unknown-fashion", "unknown"),
    }
    many = [found for each in several if (found := pieces.found(*each)) is not None]
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
        "drawn": [{key: row[key] for key in DRAWN_KEYS} for row in runs["mnist"]],
        "missed": [
            {key: row[key] for key in ("seed", "task", "hamming", "accuracy", "entropy")}
            for rows in runs.values()
            for row in rows
            if row["hamming"]
        ],
    }
    save_results("hopfield_recovery", figures)
    draw(figures)


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


def _rows(pieces: Cache, name: str, key: str) -> list[dict[str, Any]]:
    found = (pieces.found(*piece(name, seed)) for seed in JUDGED[name])
    return [row for each in found if each is not None for row in each[key]]


def draw(figures: dict[str, Any]) -> None:
    """Bits that differ by step; accuracy by seed and way; exact rate by the number stored."""
    rows, many = figures["drawn"], figures["many"]
    with picture("hopfield_recovery", ROW) as figure:
        left, middle, right = figure.subplots(1, 3)
        for row in rows:
            left.plot(row["trajectory"], color=OURS, alpha=0.25, linewidth=0.8)
        left.set(xlabel="step", ylabel="bits of 4,096 that differ")
        left.set_title("Recovery, SplitMNIST, every run")
        seeds = sorted({row["seed"] for row in rows})
        for key, marker, colour, label in (
            ("explicit_accuracy", "o", DARK, "explicit masks"),
            ("accuracy", ".", OURS, "recovered"),
            ("paper_accuracy", "x", WARM, "by the paper's recipe"),
        ):
            means = [np.mean([row[key] for row in rows if row["seed"] == seed]) for seed in seeds]
            middle.plot(seeds, means, marker, color=colour, fillstyle="none", label=label)
        middle.set(xlabel="seed", xticks=seeds[::5])
        middle.set_title("With and without the memory")
        in_percent(middle.yaxis, "test accuracy, mean of five tasks")
        for rule, style in curve_styles(sorted({row["rule"] for row in many})).items():
            chosen = [row for row in many if row["rule"] == rule]
            exact = [row["exact"] / row["runs"] for row in chosen]
            right.plot([row["count"] for row in chosen], exact, label=rule, **style)
        right.set_xlabel("permuted two-class tasks in one memory")
        right.set_ylim(-0.03, 1.03)
        in_percent(right.yaxis, "recovered exactly")
        for axes, side in ((middle, "center"), (right, "right")):
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(handles, labels, loc=f"outside lower {side}", ncols=3)
