"""Plots: one style for all of them, and those of reports.

Figures are drawn without a display and saved by their path's ending.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from maskstore.errors import InvalidInput
from maskstore.notebook import one_line
from maskstore.queries import Overlap
from maskstore.stats import ArchiveStats
from maskstore.storage.atomic import require_writable, write_file
from supsup.evaluation.score import TaskAccuracy

SINGLE, ROW, GRID = (7.2, 4.2), (11.0, 3.8), (11.0, 7.6)
"""Width and height, inches: of one panel, of panels side by side, of two rows of panels."""

OURS, OTHER, WARM, DARK = "#1f6f8b", "#b0b7bd", "#c8553d", "#444444"
"""This package; what it stands beside; what is set against it; bounds and totals."""

_FREE = ("#1f6f8b", "#d98c21", "#5f9e6e", "#7a5195", "#c44e52", "#8c6d46", "#3aa6a0", "#8b1f4f")
"""For what has no colour of its own, in turn."""

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "supsup": OURS,
        "supsup transfer": "#7a9e3f",
        "supsup transfer mean of scores": WARM,
        "upper bound": DARK,
        "lower bound": "#9aa1a6",
        "separate heads": "#d98c21",
        "separate heads random": "#e3b873",
        "batche": "#5f9e6e",
        "psp": "#7a5195",
        "psp rotation": "#b79fc9",
        "ewc": "#c44e52",
        "icarl": "#8b1f4f",
        "replay": "#3aa6a0",
        "packnet": "#8c6d46",
        "wsn": "#e07b9a",
        "one shot": OURS,
        "binary": "#d98c21",
        "exhaustive": DARK,
        "logits": "#5f9e6e",
        "hybrid": "#7a5195",
        "raw": OTHER,
        "gaps": "#8c6d46",
        "zstd": "#9ecae1",
        "ans": "#6baed6",
        "seeded": "#3182bd",
        "auto": "#08519c",
        "history": "#d98c21",
        "hebb": OTHER,
        "covariance": "#5f9e6e",
        "storkey": "#d98c21",
        "projection": "#8b1f4f",
        "modern": DARK,
        "adam": OURS,
        "normed sgd": "#d98c21",
        "rmsprop": "#7a9e3f",
        "sgd": WARM,
        "task given": DARK,
    }
)
"""Method → colour, the same in every plot; a curve has that of the method its label begins with."""

_WRITTEN = 12
"""Tasks of a matrix whose numbers are written into it, at most."""

_NAMED = 30
"""Tasks whose names are legible on the axes of one panel."""

_ACTION = "save the plot"

_STYLE: Any = {
    "savefig.dpi": 150,
    "axes.prop_cycle": cycler(color=_FREE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.titlesize": 10,
    "figure.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "lines.markersize": 5,
    # The same figure is the same file.
    "svg.hashsalt": "supsup-store",
}

_INK = "#010203"
"""Of text and lines in a page, until the page's own colour takes its place."""

_IN_PAGE: Any = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), _INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), _INK),
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}


def svg_of(draw: Callable[[Figure], None], size: tuple[float, float] = SINGLE) -> str:
    """A figure in the style of all as an ``svg`` element for a page, light or dark.

    The same figure is the same text; it names no file and no address.

    Args:
        draw: draws on the figure that it is given.
        size: width and height, inches.
    """
    with rc_context(_STYLE | _IN_PAGE), _names_of_any_script():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    return text.replace(_INK, "currentColor").replace(DARK, "currentColor")


@contextmanager
def _names_of_any_script() -> Iterator[None]:
    """Without a warning for each letter that matplotlib's font lacks; a page has the browser's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def literal(name: str) -> str:
    """A name as matplotlib is to draw it: a dollar in it begins no formula.

    >>> print(literal("5 $ and 6 $"))
    5 \\$ and 6 \\$
    """
    return one_line(name).replace("$", r"\$")


@contextmanager
def drawing(path: str | PathLike[str], size: tuple[float, float] = SINGLE) -> Iterator[Figure]:
    """A figure in the style of all, saved whole or not at all when the block ends.

    Args:
        size: width and height, inches.

    Raises:
        InvalidInput: the path is no file's name, or its ending no picture format; before anything
            is drawn.
        ArchiveWriteError: the system refuses.
    """
    path = Path(path)
    check_plot(path)
    with rc_context(_STYLE), _names_of_any_script():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        path = _completed(path)
        ending = path.suffix[1:]
        undated = {"Date": None} if ending.lower() == "svg" else None
        write_file(
            path,
            lambda file: figure.savefig(file, format=ending, metadata=undated),
            action=_ACTION,
        )


def check_plot(path: str | PathLike[str]) -> None:
    """Raise as :func:`drawing` would, before there is anything to draw."""
    path = Path(path)
    check_ending(path)
    require_writable(_completed(path), action=_ACTION)


def check_ending(path: str | PathLike[str]) -> None:
    """Raise InvalidInput where :func:`drawing` would for the path's name, wherever it is."""
    path = Path(path)
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    if not path.name.strip("."):
        raise InvalidInput(f"{path}: cannot draw there: expected a file such as plot.png")
    if path.suffix and path.suffix[1:].lower() not in known:
        raise InvalidInput(
            f"{path}: cannot draw there: expected an ending of {', '.join(known)}, "
            f"got {path.suffix[1:]!r}"
        )


def _completed(path: Path) -> Path:
    """With an ending, as matplotlib completes a path that has none."""
    if path.suffix[1:]:
        return path
    return path.with_name(f"{path.name.rstrip('.')}.{FigureCanvasAgg.get_default_filetype()}")


def colour_of(label: str) -> str | None:
    """The colour of the method that a label begins with; None for another label."""
    words = "".join(c if c.isalnum() else " " for c in label.lower()).split()
    for count in range(len(words), 0, -1):
        if (colour := COLOURS.get(" ".join(words[:count]))) is not None:
            return colour
    return None


def curve_styles(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How the curves of one panel are told apart, as arguments of ``Axes.plot`` by label.

    Each has its method's colour. Curves of one method differ in their dashes, and all in their
    markers, which are hollow, so that curves that lie on each other are both seen.
    """
    own = {label: colour_of(label) for label in labels}
    free = cycle([colour for colour in _FREE if colour not in own.values()] or _FREE)
    found: dict[str, dict[str, Any]] = {}
    for label, marker in zip(own, cycle("osD^vXP*")):
        colour = own[label] or next(free)
        before = sum(style["color"] == colour for style in found.values())
        found[label] = {
            "color": colour,
            "linestyle": ("-", "--", ":", "-.")[before % 4],
            "marker": marker,
            "fillstyle": "none",
        }
    return found


def in_percent(axis: Axis, what: str) -> None:
    """Have an axis of shares, 0 to 1, tell them in percent: every figure tells accuracies so.

    Args:
        what: they are shares of, or accuracies on.
    """
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}"))
    axis.set_label_text(f"{what}, %")


def plot_curve(
    axes: Axes,
    x: Sequence[float],
    mean: Sequence[float],
    deviation: Sequence[float],
    *,
    label: str,
    style: Mapping[str, Any],
) -> None:
    """A curve of means over seeds, in a band of one standard deviation on both sides.

    Args:
        deviation: over seeds, one for each ``x``; zeros where there is one seed, which has no band.
        style: one of :func:`curve_styles`.
    """
    axes.plot(x, mean, label=label, **style)
    if any(deviation):
        low, high = np.subtract(mean, deviation), np.add(mean, deviation)
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)


def plot_bytes(stats: ArchiveStats, path: str | PathLike[str]) -> None:
    """Bytes a task in this archive, beside one bit a weight, the entropy bound and a dense model.

    Raises:
        InvalidInput: the archive is empty, or the path's ending is no picture format.
        ArchiveWriteError: the system refuses.
    """
    with drawing(path) as figure:
        _draw_bytes(figure.subplots(), stats)


def plot_report(
    per_task: Sequence[TaskAccuracy], stats: ArchiveStats, path: str | PathLike[str]
) -> None:
    """Accuracy by task (left) beside bytes by task (right); raises as :func:`plot_bytes`."""
    with drawing(path, ROW) as figure:
        axes, right = figure.subplots(1, 2)
        names = [literal(row.name) for row in per_task]
        bars = axes.bar(range(len(names)), [100 * row.accuracy for row in per_task], color=OURS)
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
        low = min(row.accuracy for row in per_task)
        axes.set_ylim(max(0.0, 100 * low - 10), 101.5)
        axes.set(ylabel="test accuracy, %", title="Accuracy by task")
        _draw_bytes(right, stats)


def plot_overlap(overlap: Overlap, path: str | PathLike[str]) -> None:
    """Of each two masks the weights that both keep, over those that either keeps.

    Raises:
        InvalidInput: the path's ending is no picture format.
        ArchiveWriteError: the system refuses.
    """
    with drawing(path, (6.4, 5.6)) as figure:
        draw_overlap(figure, overlap)


def draw_overlap(figure: Figure, overlap: Overlap) -> None:
    """What :func:`plot_overlap` saves."""
    axes = figure.subplots()
    image = axes.imshow(overlap.jaccard, vmin=0.0, vmax=1.0, cmap="viridis")
    figure.colorbar(image, ax=axes, label="weights that both keep, of those that either keeps")
    axes.grid(False)
    if len(overlap.names) <= _NAMED:
        names = [literal(name) for name in overlap.names]
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    else:
        axes.set(xlabel="task, in order of arrival", ylabel="task, in order of arrival")
    layer = f", {literal(overlap.layer)}" if overlap.layer else ""
    axes.set_title(f"Overlap of {len(overlap.names)} masks{layer}")


def plot_matrix(names: Sequence[str], matrix: np.ndarray, path: str | PathLike[str]) -> None:
    """Accuracy after each task on each, as ``eval --metrics`` measures it; as :func:`plot_overlap`.

    Args:
        matrix: (task, task), 0 to 1; NaN where nothing was measured.
    """
    with drawing(path, (6.4, 5.6)) as figure:
        draw_matrix(figure, names, matrix)


def draw_matrix(figure: Figure, names: Sequence[str], matrix: np.ndarray) -> None:
    """What :func:`plot_matrix` saves."""
    axes = figure.subplots()
    image = axes.imshow(100 * matrix, vmin=0, vmax=100, cmap="viridis", interpolation="nearest")
    figure.colorbar(image, ax=axes, label="test accuracy, %")
    axes.grid(False)
    axes.set(xlabel="on the test set of task", ylabel="after task")
    if len(names) <= _NAMED:
        labels = [literal(name) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90)
        axes.set_yticks(range(len(names)), labels)
    if len(names) <= _WRITTEN:
        for (row, column), value in np.ndenumerate(matrix):
            if not np.isnan(value):
                shade, text = "white" if value < 0.7 else "black", f"{100 * value:.1f}"
                axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=7)


def _draw_bytes(axes: Axes, stats: ArchiveStats) -> None:
    if stats.bytes_per_task is None or stats.entropy_bytes_per_task is None:
        raise InvalidInput("an empty archive has no bytes per task to draw; add a task first")
    bars = {
        "dense float32 model": (stats.dense_bytes_per_task, OTHER),
        "dense float16 model": (stats.dense_bytes_per_task // 2, OTHER),
        "paper's float32 scores": (stats.score_checkpoint_bytes // stats.tasks, OTHER),
        "mask, bit-packed": (stats.bitpacked_bytes_per_task, OTHER),
        "mask, entropy bound": (stats.entropy_bytes_per_task, OTHER),
        "this archive,\nall of the file": (stats.bytes_per_task, OURS),
    }
    drawn = axes.barh(
        list(bars), [size for size, _ in bars.values()], color=[color for _, color in bars.values()]
    )
    axes.bar_label(drawn, [f" {size:,.0f}" for size, _ in bars.values()], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.set(xlabel="bytes a task (log scale)", title=f"Bytes by task, {stats.tasks} tasks")
