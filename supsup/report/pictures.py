"""The pictures of a report, as SVG that stands in its page."""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from maskstore.queries import overlap_of
from maskstore.reader import ArchiveReader
from supsup.plots import ROW, draw_matrix, draw_overlap, literal, svg_of
from supsup.recovery.plots import draw_recovery

MOST_COMPARED = 200
"""Tasks in the overlap; a picture of more has no pixel for each, and pairs grow as the square."""

MOST_MASKS = 12
_COLUMNS = 6


def spread(names: Sequence[str], most: int) -> list[str]:
    """So many names at most, evenly from first to last.

    >>> spread(list("abcdefg"), 3)
    ['a', 'd', 'g']
    """
    if len(names) <= most:
        return list(names)
    return [names[at] for at in np.linspace(0, len(names) - 1, most).round().astype(int)]


def overlap_svg(archive: ArchiveReader, names: Sequence[str]) -> str:
    """How much each two of the masks share."""
    found = overlap_of(archive, names)
    return svg_of(lambda figure: draw_overlap(figure, found), (6.4, 5.6))


def as_picture(mask: np.ndarray) -> np.ndarray:
    """A layer's mask as rows and columns of grey, 0 to 1.

    Over the pixels of a square image, a linear layer is the share of units that keep each pixel;
    any other layer is its bits, a row for each output, and one without inputs a folded row.
    """
    if mask.ndim < 2:
        flat = mask.reshape(-1).astype(float)
        width = max(1, isqrt(flat.size))
        padded = np.full(-(-flat.size // width) * width, np.nan)
        padded[: flat.size] = flat
        return padded.reshape(-1, width)
    rows = mask.reshape(len(mask), -1).astype(float)
    for channels in (1, 3):
        side = isqrt(rows.shape[1] // channels)
        if mask.ndim == 2 and side > 3 and channels * side * side == rows.shape[1]:
            return rows.mean(0).reshape(channels, side, side).mean(0)
    return rows


def masks_svg(archive: ArchiveReader, names: Sequence[str]) -> str:
    """The first layer's masks of some tasks."""
    layer = next(iter(archive.layout.shapes))
    pictures = {name: as_picture(archive.get(name)[layer]) for name in names}

    def draw(figure: Figure) -> None:
        lines = -(-len(pictures) // _COLUMNS)
        axes = figure.subplots(lines, _COLUMNS, squeeze=False).ravel()
        for panel in axes:
            panel.set_axis_off()
        for panel, (name, picture) in zip(axes, pictures.items(), strict=False):
            panel.imshow(picture, cmap="viridis", aspect="auto", interpolation="nearest")
            panel.set_title(literal(name if len(name) <= 24 else f"{name[:23]}…"), fontsize=7)

    return svg_of(draw, (ROW[0], 2.0 * -(-len(pictures) // _COLUMNS)))


def matrix_svg(names: Sequence[str], matrix: np.ndarray) -> str:
    """Accuracy after each task on every other."""
    return svg_of(lambda figure: draw_matrix(figure, names, matrix), (6.4, 5.0))


def recovery_svg(document: Mapping[str, Any]) -> str:
    """The trajectory of a recovery, as ``recover --json`` has it."""
    return svg_of(
        lambda figure: draw_recovery(figure, document["trajectory"], document["task"]), ROW
    )
