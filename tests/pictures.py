"""What is wrong with a picture: text over text, keys over curves, empty curves, two units."""

import re
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import Bbox


def faults(figure: Figure) -> list[str]:
    """A line for each fault of a figure that is drawn; none of a good one."""
    figure.draw_without_rendering()
    texts = list(_texts(figure))
    found = [f"{name!r} leaves the figure" for name, box in texts if not _inside(box, figure.bbox)]
    found += [
        f"{one!r} is over {other!r}"
        for (one, box), (other, over) in combinations(texts, 2)
        if _area(box, over) > 0
    ]
    for axes in figure.axes:
        points = _points(axes)
        found += [
            f"{name!r} goes through {text.get_text()!r}"
            for text in axes.texts
            for name, at in points
            if text.get_text().strip() and text.get_window_extent().padded(0.5).count_contains(at)
        ]
        for legend in _legends(figure, axes):
            box = legend.get_window_extent()
            found += [f"the key is over {name!r}" for name, box_ in _bars(axes) if _area(box, box_)]
            found += [f"the key is over {name!r}" for name, at in points if box.count_contains(at)]
        handles, labels = axes.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            if hasattr(handle, "get_xdata") and not len(handle.get_xdata()):
                found.append(f"{label!r} is in the key and has no point")
        found += [
            f"{axis.get_label_text()!r} is told in fractions, not in percent"
            for axis in (axes.xaxis, axes.yaxis)
            if re.search("accuracy|task found|recovered|recalled", axis.get_label_text())
            and "%" not in axis.get_label_text()
        ]
    return list(dict.fromkeys(found))


def _texts(figure: Figure) -> Iterator[tuple[str, Bbox]]:
    shown = [*figure.texts, figure._suptitle] if figure._suptitle else [*figure.texts]
    for axes in figure.axes:
        shown += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            shown += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
        for legend in _legends(figure, axes):
            shown += legend.get_texts()
    for text in dict.fromkeys(shown):
        if text.get_visible() and text.get_text().strip():
            yield text.get_text(), text.get_window_extent().padded(-0.75)


def _legends(figure: Figure, axes: Axes) -> list[Legend]:
    return [*figure.legends, *filter(None, [axes.get_legend()])]


def _points(axes: Axes) -> list[tuple[str, np.ndarray]]:
    """Every curve, at its points and between them, in pixels."""
    found = []
    for line in axes.lines:
        at = line.get_transform().transform(np.column_stack(line.get_data()).astype(float))
        if line.get_linestyle() != "None" and len(at) > 1:
            between = np.linspace(0, 1, 20)[:, None, None]
            at = (at[:-1] + between * (at[1:] - at[:-1])).reshape(-1, 2)
        inside = axes.bbox.padded(1)
        kept = [each for each in at if inside.contains(*each)]
        found.append((str(line.get_label()), np.array(kept).reshape(-1, 2)))
    return found


def _bars(axes: Axes) -> list[tuple[str, Bbox]]:
    """What is to be seen of every bar, in pixels."""
    shown = (Bbox.intersection(patch.get_window_extent(), axes.bbox) for patch in axes.patches)
    return [("a bar", box) for box in shown if box is not None]


def _inside(box: Bbox, figure: Bbox) -> bool:
    within = figure.padded(1)
    return within.contains(box.x0, box.y0) and within.contains(box.x1, box.y1)


def _area(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height
