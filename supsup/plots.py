"""Plots of reports. Figures are drawn without a display and saved by their path's ending."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from maskstore.errors import InvalidInput
from maskstore.stats import ArchiveStats
from maskstore.storage.atomic import write_file
from supsup.evaluation.score import TaskAccuracy

_OURS, _OTHER = "#1f6f8b", "#b0b7bd"


def plot_bytes(stats: ArchiveStats, path: Path) -> None:
    """Bytes a task in this archive, beside one bit a weight, the entropy bound and a dense model.

    Raises:
        InvalidInput: the archive is empty, or the path's ending is no picture format.
        ArchiveWriteError: the system refuses.
    """
    figure = Figure(figsize=(6.0, 3.2), layout="constrained")
    _draw_bytes(figure.subplots(), stats)
    save_figure(figure, path)


def plot_report(per_task: Sequence[TaskAccuracy], stats: ArchiveStats, path: Path) -> None:
    """Accuracy by task (left) beside bytes by task (right); raises as :func:`plot_bytes`."""
    figure = Figure(figsize=(10.0, 3.4), layout="constrained")
    axes, right = figure.subplots(1, 2)
    names = [row.name for row in per_task]
    bars = axes.bar(range(len(names)), [100 * row.accuracy for row in per_task], color=_OURS)
    axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=8)
    low = min(row.accuracy for row in per_task)
    axes.set_ylim(max(0.0, 100 * low - 10), 101.5)
    axes.set_ylabel("test accuracy, %")
    axes.set_title("Accuracy by task", fontsize=10)
    _draw_bytes(right, stats)
    save_figure(figure, path)


def _draw_bytes(axes: Axes, stats: ArchiveStats) -> None:
    if stats.bytes_per_task is None or stats.entropy_bytes_per_task is None:
        raise InvalidInput("an empty archive has no bytes per task to draw; add a task first")
    bars = {
        "dense float32 model": (stats.dense_bytes_per_task, _OTHER),
        "dense float16 model": (stats.dense_bytes_per_task // 2, _OTHER),
        "paper's float32 scores": (stats.score_checkpoint_bytes // stats.tasks, _OTHER),
        "mask, bit-packed": (stats.bitpacked_bytes_per_task, _OTHER),
        "mask, entropy bound": (stats.entropy_bytes_per_task, _OTHER),
        "this archive,\nall of the file": (stats.bytes_per_task, _OURS),
    }
    drawn = axes.barh(
        list(bars), [size for size, _ in bars.values()], color=[color for _, color in bars.values()]
    )
    axes.bar_label(drawn, [f" {size:,.0f}" for size, _ in bars.values()], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("bytes a task (log scale)")
    axes.set_title(f"Bytes by task, {stats.tasks} tasks", fontsize=10)


def check_ending(path: Path) -> None:
    """Raise InvalidInput where :func:`save_figure` would for the path's ending."""
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix and path.suffix[1:].lower() not in known:
        raise InvalidInput(
            f"{path}: cannot draw there: expected an ending of {', '.join(known)}, "
            f"got {path.suffix[1:]!r}"
        )


def save_figure(figure: Figure, path: Path) -> None:
    """Draw without a display into a file; raises as :func:`plot_bytes`."""
    canvas = FigureCanvasAgg(figure)
    ending = path.suffix[1:]
    if not ending:  # as matplotlib completes a path
        ending = canvas.get_default_filetype()
        path = path.with_name(f"{path.name.rstrip('.')}.{ending}")
    try:
        write_file(
            path, lambda file: figure.savefig(file, format=ending, dpi=150), action="save the plot"
        )
    except ValueError as error:
        raise InvalidInput(f"{path}: cannot draw there: {error}") from error
