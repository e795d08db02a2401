"""Where results go: ``docs/results/NAME.json`` and ``.svg``, beside the page that explains them.

Nothing heavy is imported before it is needed: processes whose memory is measured import this, too.
"""

import json
import platform
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supsup.figures.cache import Cache

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results"


def study_cache(study: str) -> "Cache":
    """What a study trained and measured before, under ``.cache``: it goes on where it stopped."""
    from supsup.figures.cache import Cache

    return Cache(folder=ROOT / ".cache" / study)


def save_results(
    name: str,
    figures: dict[str, Any],
    command: str | None = None,
    *,
    quiet: bool = False,
    folder: Path | None = None,
) -> None:
    """Write the figures and the versions they were measured with; print them, too.

    Args:
        command: that made them; by default the benchmark of that name.
        quiet: whether nothing is printed.
        folder: where they go; None for the results that are published.
    """
    import numpy

    from supsup.figures.cache import write_json

    document = {
        "command": command or f"python -m benchmarks.{name}",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        **figures,
    }
    folder = FOLDER if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", document)
    if not quiet:
        print(json.dumps(document, indent=2))


def saved_results(name: str) -> dict[str, Any]:
    """What :func:`save_results` wrote; nothing where it never did."""
    path = FOLDER / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def picture(name: str, size: tuple[float, float] | None = None) -> AbstractContextManager["Figure"]:
    """The picture of those results, saved when the block ends; see :func:`supsup.plots.drawing`."""
    from supsup.plots import SINGLE, drawing

    return drawing(FOLDER / f"{name}.svg", size or SINGLE)
