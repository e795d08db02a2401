"""Plots of recovery: as the paper's appendix draws it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from supsup.plots import DARK, OTHER, OURS, ROW, SINGLE, WARM, drawing, literal


def plot_recovery(trajectory: Sequence[Mapping[str, Any]], task: str | None, path: Path) -> None:
    """Bits that differ (where known), entropy and energy by step; a line where a descent ended.

    Raises:
        InvalidInput: the path's ending is no picture format.
        ArchiveWriteError: the system refuses.
    """
    with drawing(path, ROW) as figure:
        draw_recovery(figure, trajectory, task)


def draw_recovery(
    figure: Figure, trajectory: Sequence[Mapping[str, Any]], task: str | None
) -> None:
    """What :func:`plot_recovery` saves."""
    steps = range(len(trajectory))
    known = [at for at in steps if trajectory[at]["hamming"] is not None]
    panels = [("entropy", "entropy, nats", OURS), ("energy", "energy of the memory", WARM)]
    if known:
        panels.insert(0, ("hamming", "bits that differ", DARK))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (key, label, colour) in zip(axes, panels, strict=True):
        values = [np.nan if point[key] is None else point[key] for point in trajectory]
        panel.plot(steps, values, "o-", color=colour, markersize=3)
        panel.set(xlabel="step", ylabel=label)
        for at in steps:
            if at and trajectory[at]["restart"] != trajectory[at - 1]["restart"]:
                panel.axvline(at - 0.5, color=OTHER, linestyle=":")
    figure.suptitle(f"Recovery: {literal(task) if task else 'no stored task'}")


def plot_comparison(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Mean accuracy by seed with explicit masks and with recovered ones (figure 11), each run a
    dot; raises as :func:`plot_recovery`."""
    seeds = sorted({run["seed"] for run in runs})
    with drawing(path, (max(5.0, 0.5 * len(seeds) + 3), SINGLE[1])) as figure:
        axes = figure.subplots()
        for shift, key, colour, label in (
            (-0.2, "explicit_accuracy", OTHER, "explicit masks"),
            (0.2, "hopfield_accuracy", OURS, "recovered from the Hopfield memory"),
        ):
            by_seed = [[100 * run[key] for run in runs if run["seed"] == seed] for seed in seeds]
            places = np.arange(len(seeds)) + shift
            axes.bar(places, [np.mean(each) for each in by_seed], 0.36, color=colour, label=label)
            for place, each in zip(places, by_seed, strict=True):
                axes.plot([place] * len(each), each, "k.", markersize=3)
        low = min(min(run["explicit_accuracy"], run["hopfield_accuracy"]) for run in runs)
        axes.set_ylim(max(0.0, 100 * low - 5), 101)
        axes.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
        axes.set(xlabel="seed", ylabel="test accuracy, %")
        figure.legend(loc="outside lower center", ncols=2)
