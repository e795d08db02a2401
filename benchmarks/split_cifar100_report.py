"""The table and the picture of what :mod:`benchmarks.split_cifar100` measured so far.

python -m benchmarks.split_cifar100_report
"""

from collections import Counter
from collections.abc import Mapping
from statistics import fmean, pstdev

from matplotlib.axes import Axes

from benchmarks.results import picture, save_results, saved_results
from benchmarks.split_cifar100 import BATCH, DENSE, DENSEST, MASKS, TASKS, TRANSFER, Figures
from supsup.plots import ROW, SINGLE, curve_styles, in_percent

USUAL = (*DENSE, *MASKS, *(f"{arm}{TRANSFER}" for arm in MASKS))
"""Arms of the usual width, batch and precision; others have a suffix that says what is unlike."""

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
        usual = max((each for each in USUAL if arm.startswith(each)), key=len)
        for name, other in (
            ("to_dense", "upper-bound" + arm.removeprefix(usual)),
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


def by_width(cells: Mapping[str, Figures]) -> list[Figures]:
    """Masks with and without transfer over networks of several widths, all at the same precision:
    over the later tasks that every one of them has."""
    groups: dict[tuple[int, bool], dict[tuple[int, int], Figures]] = {}
    for cell in cells.values():
        if cell.get("precision") == "float32" and cell["arm"].startswith(DENSEST):
            transfer = cell["arm"].startswith(DENSEST + TRANSFER)
            of = groups.setdefault((cell["width"], transfer), {})
            of[cell["seed"], cell["task"]] = cell
    common = set.intersection(*map(set, groups.values())) if groups else set()
    later = sorted(at for at in common if at[1])
    rows = []
    for (width, transfer), of in sorted(groups.items()):
        accuracies = [of[at]["accuracy"] for at in later]
        if accuracies:
            rows.append(
                {
                    "width": width,
                    "transfer": transfer,
                    "later_tasks": [task for _, task in later],
                    "accuracy": round(fmean(accuracies), 4),
                    "deviation": round(pstdev(accuracies), 4),
                    "bytes": _bytes([of[at] for at in later]),
                    "cpu_minutes": round(fmean(of[at]["cpu_seconds"] for at in later) / 60, 1),
                }
            )
    return rows


def _bytes(cells: list[Figures]) -> int:
    return round(fmean(cell["bytes"] + cell["statistics_bytes"] for cell in cells))


def draw(rows: list[Figures], widths: list[Figures]) -> None:
    """Accuracy against bytes, of the length that most arms have, and by the network's width; where
    some arms have another length as well, the first task by length."""
    rows = [row for row in rows if row["arm"] in USUAL]
    usual = Counter(row["steps"] for row in rows).most_common(1)[0][0]
    usually = [row for row in rows if row["steps"] == usual]
    longer = {row["arm"] for row in rows if row["steps"] != usual}
    styles = curve_styles([row["arm"] for row in usually])
    places = 1 + bool(longer) + bool(widths)
    with picture("split_cifar100", ROW if places > 1 else SINGLE) as figure:
        by_bytes, *others = figure.subplots(1, places, squeeze=False)[0]
        if widths:
            _draw_widths(others.pop(), widths)
        for row in usually:
            if row["accuracy"] is not None:
                how = styles[row["arm"]] | {"label": _label(row["arm"])}
                by_bytes.plot([row["bytes"]], [row["accuracy"]], **how)
        by_bytes.set(xscale="log", xlabel="bytes of 20 tasks", title="mean of later tasks")
        for axes in others:
            for arm in sorted(longer & styles.keys()):
                points = [(row["steps"], row["first_task"]) for row in rows if row["arm"] == arm]
                axes.plot(*zip(*sorted(points), strict=True), label=_label(arm), **styles[arm])
            axes.set(xlabel=f"steps of {BATCH}", title="the first task")
        for axes in figure.axes:
            in_percent(axes.yaxis, "test accuracy")
            axes.legend()


def _draw_widths(axes: Axes, widths: list[Figures]) -> None:
    names = {False: "SupSup, density 0.3", True: "the same, transfer"}
    styles = curve_styles(list(names.values()))
    for transfer, name in names.items():
        points = [(row["width"], row["accuracy"]) for row in widths if row["transfer"] == transfer]
        axes.plot(*zip(*points, strict=True), label=name, **styles[name])
    every = sorted({row["width"] for row in widths})
    axes.set_xscale("log")
    axes.set_xticks(every, [str(width) for width in every])
    axes.minorticks_off()
    axes.set(xlabel="channels of the first stage", title="by width, float32")


def _label(arm: str) -> str:
    return LABELS.get(arm, arm.replace("supsup", "SupSup"))


def main() -> None:
    """Put the rows into docs/results/split_cifar100.json, draw and print them."""
    document = saved_results("split_cifar100")
    rows = summary(document["cells"])
    widths = by_width(document["cells"])
    document |= {"rows": rows, "by_width": widths}
    save_results("split_cifar100", document, document["command"], quiet=True)
    draw(rows, widths)
    for row in (*rows, *widths):
        print(row)


if __name__ == "__main__":
    main()
