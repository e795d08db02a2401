"""Figures that are curves over one axis."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import ClassVar

from supsup.figures.base import PaperFigure, Row
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Workspace
from supsup.plots import curve_styles, drawing, plot_curve

LABELS = {"accuracy": "test accuracy, %", "hamming": "bits that differ"}


class CurveFigure(PaperFigure):
    """A curve for each ``curve`` of the rows: ``y`` over ``x``, the mean over ``seed``.

    Attributes:
        x, y: keys of the rows; a ``y`` of ``accuracy`` is drawn in percent.
        logarithmic: whether the x axis is.
    """

    x: ClassVar[str]
    y: ClassVar[str] = "accuracy"
    logarithmic: ClassVar[bool] = False

    @abstractmethod
    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        """Rows with the keys ``seed``, ``curve``, ``x`` and ``y``."""

    def table(self, rows: Sequence[Row]) -> list[Row]:
        """A line for each ``x`` and in it each curve's mean."""
        curves = _curves(rows, self.x, self.y)
        return [
            {self.x: x}
            | {name: _mean(points[x]) if x in points else None for name, points in curves.items()}
            for x in sorted({x for points in curves.values() for x in points})
        ]

    def draw(self, rows: Sequence[Row], path: Path) -> None:
        scale = 100 if self.y == "accuracy" else 1
        curves = _curves(rows, self.x, self.y)
        styles = curve_styles(list(curves))
        with drawing(path) as figure:
            axes = figure.subplots()
            for name, points in curves.items():
                values = list(points.values())
                spread = [scale * stdev(of) if len(of) > 1 else 0.0 for of in values]
                means = [scale * _mean(of) for of in values]
                plot_curve(axes, list(points), means, spread, label=name, style=styles[name])
            if self.logarithmic:
                axes.set_xscale("log")
                places = sorted({x for points in curves.values() for x in points})
                axes.set_xticks(places, [f"{x:,}" for x in places])
                axes.minorticks_off()
            axes.set(xlabel=self.x, ylabel=LABELS[self.y])
            axes.legend()
            figure.suptitle(self.title)


def _mean(values: Sequence[float]) -> float:
    """Of one value, itself: a count stays a whole number."""
    return values[0] if len(values) == 1 else fmean(values)


def _curves(rows: Sequence[Row], x: str, y: str) -> dict[str, dict[float, list[float]]]:
    """Curve → x → the seeds' values. A seed that ended before others, as a recovery does in fewer
    steps, counts with its last value: a mean of those that go on would rise when one ends."""
    curves: dict[str, dict[int, dict[float, float]]] = {}
    for row in rows:
        curves.setdefault(row["curve"], {}).setdefault(row["seed"], {})[row[x]] = row[y]
    return {
        name: {
            place: [of[max(each for each in of if each <= place)] for of in by_seed.values()]
            for place in sorted({each for of in by_seed.values() for each in of})
        }
        for name, by_seed in curves.items()
    }
