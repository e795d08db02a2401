"""A figure from beginning to end: checked, trained, measured, written, drawn."""

import time
from pathlib import Path
from typing import Any

from supsup.figures.base import PaperFigure
from supsup.figures.sizes import Sizes
from supsup.figures.workplace import Workplace, write_json
from supsup.plots import check_ending
from supsup.session import make_folder


def reproduce(
    figure: PaperFigure, sizes: Sizes, place: Workplace, *, plot: Path | None = None
) -> dict[str, Any]:
    """Measure a figure and write ``NAME.json`` and ``NAME.png`` into the workplace's folder.

    What is there of an earlier run with the same sizes is not trained again.

    Args:
        plot: the plot's path, in the place of the folder's.

    Returns:
        The document: the figure, its sizes, in what it differs from the paper's, its numbers.

    Raises:
        InvalidInput: sizes that the figure, its data or its network do not have, or the plot's
            ending is no picture format.
        ArchiveWriteError: the folder cannot be made or written to, or the plot cannot be saved:
            the numbers are there by then.
    """
    picture = plot or place.folder / f"{figure.name}.png"
    numbers = place.folder / f"{figure.name}.json"
    figure.check(sizes)
    check_ending(picture)
    make_folder(place.folder)
    start = time.perf_counter()
    rows = figure.measure(sizes, place)
    document = {
        "figure": figure.name,
        "title": figure.title,
        "sizes": sizes.to_json(),
        "differences": [*sizes.differences(figure.paper), *figure.other],
        "rows": rows,
        "seconds": round(time.perf_counter() - start, 1),
        "json": str(numbers),
        "plot": str(picture),
    }
    write_json(numbers, document)
    figure.draw(rows, picture)
    return document
