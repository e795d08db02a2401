"""The table and the picture of what :mod:`benchmarks.split_cifar100` measured so far.

python -m benchmarks.split_cifar100_report
"""

from collections import Counter
from collections.abc import Mapping
from statistics import fmean, pstdev

from benchmarks.results import picture, save_results, saved_results
from benchmarks.split_cifar100 import BATCH, TASKS, TRANSFER, Figures
from supsup.plots import ROW, SINGLE, curve_styles, in_percent

LABELS = {
    "upper-bound": "a dense network a task",
    "batche": "BatchE",
    "separate-heads": "heads, trained trunk",
    "separate-heads-random": "heads, random trunk",
}


def summary(cells: Mapping[str, Figures]) -> list[Figures]:
    """A line for each arm and number of steps: the first task, which BatchE and heads over a
    trained trunk learn whole; means over later tasks and seeds, and there the mean difference to a
    dense network and to masks without transfer; bytes of 20 tasks by those that were measured."""
    groups: dict[tuple[str, int], dict[tuple[int, int], Figures]] = {}
    for cell in cells.values():
        of = groups.setdefault((cell["arm"], cell["steps"]), {})
        of[cell["seed"], cell["task"]] = cell
    rows = []
    for (arm, steps), of in groups.items():
        first = [cell for (_, task), cell in of.items() if not task]
        later = {at: cell for at, cell in of.items() if at[1]}
        accuracies = [cell["accuracy"] for cell in later.values()]
        row = {
            "arm": arm,
            "steps": steps,
            "later_tasks": len(later),
            "seeds": len({seed for seed, _ in of}),
            "first_task": round(fmean(cell["accuracy"] for cell in first), 4) if first else None,
            "accuracy": round(fmean(accuracies), 4) if later else None,
            "deviation": round(pstdev(accuracies), 4) if later else None,
            "bytes": _bytes(first) + (TASKS - 1) * _bytes(list(later.values()) or first),
            "cpu_minutes": round(sum(cell["cpu_seconds"] for cell in of.values()) / 60, 1),
        }
        for name, other in (
            ("to_dense", "upper-bound"),
            ("to_no_transfer", arm.replace(TRANSFER, "")),
        ):
            theirs = groups.get((other, steps), {})
            gains = [
                cell["accuracy"] - theirs[at]["accuracy"]
                for at, cell in later.items()
                if at in theirs
            ]
            row[name] = round(fmean(gains), 4) if gains and other != arm else None
        rows.append(row)
    return sorted(rows, key=lambda row: (row["steps"], -(row["accuracy"] or 0)))


def _bytes(cells: list[Figures]) -> int:
    return round(fmean(cell["bytes"] + cell["statistics_bytes"] for cell in cells))


def draw(rows: list[Figures]) -> None:
    """Accuracy against bytes, of the length that most arms have; where some arms have another
    length as well, the first task by length."""
    usual = Counter(row["steps"] for row in rows).most_common(1)[0][0]
    usually = [row for row in rows if row["steps"] == usual]
    longer = {row["arm"] for row in rows if row["steps"] != usual}
    styles = curve_styles([row["arm"] for row in usually])
    with picture("split_cifar100", ROW if longer else SINGLE) as figure:
        by_bytes, *by_length = figure.subplots(1, 2 if longer else 1, squeeze=False)[0]
        for row in usually:
            if row["accuracy"] is not None:
                how = styles[row["arm"]] | {"label": _label(row["arm"])}
                by_bytes.plot([row["bytes"]], [row["accuracy"]], **how)
        by_bytes.set(xscale="log", xlabel="bytes of 20 tasks", title="mean of later tasks")
        for axes in by_length:
            for arm in sorted(longer & styles.keys()):
                points = [(row["steps"], row["first_task"]) for row in rows if row["arm"] == arm]
                axes.plot(*zip(*sorted(points), strict=True), label=_label(arm), **styles[arm])
            axes.set(xlabel=f"steps of {BATCH}", title="the first task")
        for axes in figure.axes:
            in_percent(axes.yaxis, "test accuracy")
            axes.legend()


def _label(arm: str) -> str:
    return LABELS.get(arm, arm.replace("supsup", "SupSup"))


def main() -> None:
    """Put the rows into docs/results/split_cifar100.json, draw and print them."""
    document = saved_results("split_cifar100")
    rows = summary(document["cells"])
    save_results("split_cifar100", document | {"rows": rows}, document["command"], quiet=True)
    draw(rows)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
