"""The page of an archive: its figures, its tasks, its pictures, put into one file."""

import math
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from maskstore.archive import MaskArchive, StoredTask
from maskstore.errors import InvalidInput, LayoutMismatch
from maskstore.notebook import one_line
from maskstore.stats import ArchiveStats, MaskStats, archive_stats, layer_stats, task_stats
from maskstore.storage.atomic import require_free, write_file
from maskstore.task_table import accuracy_of
from supsup.recovery.images import recovery_images
from supsup.recovery.mask_memory import MaskMemory
from supsup.recovery.report import recovery_json
from supsup.report.pictures import (
    MOST_COMPARED,
    MOST_MASKS,
    masks_svg,
    matrix_svg,
    overlap_svg,
    recovery_svg,
    spread,
)
from supsup.tasks import TaskRecipe

MOST_RECOVERED = 5
_HEADINGS = ("#", "task", "accuracy", "density", "codec", "bytes", "bits per weight", "× smaller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture with its heading and what it shows; ``svg`` is ours, not text of others."""

    id: str
    title: str
    note: str
    svg: str


def write_report(
    archive: MaskArchive,
    out: str | PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    memory: str | PathLike[str] | None = None,
    trusted_net: str | None = None,
    data_dir: str | PathLike[str] | None = None,
    overwrite: bool = False,
    on_task: Callable[[str], None] = lambda name: None,
) -> int:
    """Write what an archive holds as one page of HTML, which needs no other file and no network.

    Names and metadata are shown in it, never obeyed. Every mask is decoded once, for its layers;
    the overlap is of at most 200 tasks.

    Args:
        metrics: ``metrics`` of ``eval --metrics --json``, for the accuracy matrix.
        memory: a memory file of the archive's masks: each of the first tasks is recovered from it.
        trusted_net: a ``module:function`` that may be imported, if the memory's network is just
            that.
        data_dir: folder of the data files that recovery takes images from.
        overwrite: replace a file that is there.
        on_task: called with a task's name when its mask was read.

    Returns:
        Bytes of the page.

    Raises:
        InvalidInput: a path that is no page's, metrics of another form, or a memory that knows the
            data of no task of the archive.
        LayoutMismatch: a memory of other masks.
        ArchiveError: the archive is damaged, there is a file, or the system refuses.
    """
    out = Path(out)
    memory = None if memory is None else Path(memory)
    data_dir = None if data_dir is None else Path(data_dir)
    if out.suffix.lower() not in (".html", ".htm"):
        raise InvalidInput(f"{out}: expected a page to write, such as report.html")
    require_free(out, overwrite=overwrite)
    learnt, matrix = ((), None) if metrics is None else parse_metrics(metrics)
    opened = None if memory is None else _open_memory(archive, memory, trusted_net)
    names = archive.names()
    stats = archive_stats(archive)
    layers = layer_stats(archive, on_task=on_task) if names else []
    pictures = list(_pictures(archive, names))
    if matrix is not None:
        pictures.append(
            Picture(
                id="accuracy",
                title="Accuracy matrix",
                note="Accuracy after each task was learnt, on the test sets of those before it.",
                svg=matrix_svg(learnt, matrix),
            )
        )
    if opened is not None:
        pictures += _recoveries(archive, *opened, data_dir)
    script = files(__package__).joinpath("page.js").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["shown"] = one_line
    page = environment.from_string(files(__package__).joinpath("page.html").read_text("utf-8"))
    text = page.render(
        title=f"{Path(str(archive.path)).name}: {len(names):,} masks",
        facts=_facts(archive, stats),
        sizes=list(_sizes(stats)) if names else [],
        note=stats.note,
        headings=_HEADINGS,
        rows=[_row(*each) for each in zip(archive, task_stats(archive), strict=True)],
        layers=layers,
        pictures=pictures,
        script=script,
        script_hash=f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}",
    )
    content = text.encode()
    write_file(out, lambda file: file.write(content), action="write the report")
    return len(content)


def parse_metrics(document: Mapping[str, Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """The tasks and the accuracy matrix of ``eval --metrics --json``, or of its ``metrics``.

    Raises:
        InvalidInput: it is another document.
    """
    inner = document.get("metrics", document)
    try:
        names = tuple(map(str, inner["tasks"]))
        rows = [
            [np.nan if each is None else float(each) for each in row]
            for row in inner["accuracy_matrix"]
        ]
        matrix = np.array(rows, np.float64)
    except (KeyError, TypeError, ValueError, AttributeError):
        matrix, names = np.zeros(0), ()
    if not names or matrix.shape != (len(names), len(names)):
        raise InvalidInput(
            "metrics: expected tasks and a square accuracy_matrix, as `eval --metrics --json` "
            "prints them"
        )
    return names, matrix


def _facts(archive: MaskArchive, stats: ArchiveStats) -> list[tuple[str, str]]:
    network = archive.backbone or {}
    return [
        ("file", Path(str(archive.path)).name),  # not whose folder it lies in
        ("tasks", f"{stats.tasks:,}"),
        ("bytes of the file", f"{stats.file_bytes:,}"),
        ("network", str(network.get("net") or "handed in, or not known")),
        ("bits of a mask", f"{stats.bits_per_mask:,} in {len(archive.layout.shapes):,} layers"),
        ("weights, SHA-256", str(archive.weights_digest or "not kept")),
        ("format version", str(archive.format_version)),
    ]


def _sizes(stats: ArchiveStats) -> Iterator[dict[str, Any]]:
    """What a task costs, by way of keeping it; the widths of bars are of logarithms."""
    kept = {
        "dense float32 model": float(stats.dense_bytes_per_task),
        "dense float16 model": stats.dense_bytes_per_task / 2,
        "mask, one bit a weight": float(stats.bitpacked_bytes_per_task),
        "this archive, all of the file": stats.bytes_per_task or 0.0,
    }
    most = math.log10(max(10.0, *kept.values()))
    for name, size in kept.items():
        yield {
            "name": name,
            "bytes": size,
            "ratio": stats.dense_bytes_per_task / size if size and not stats.note else None,
            "width": round(100 * math.log10(max(size, 1.0)) / most, 1),
            "ours": name.startswith("this"),
        }


def _row(task: StoredTask, stats: MaskStats) -> list[tuple[Any, str]]:
    """What each column sorts by, and what it shows; "" sorts last."""
    size = task.bytes + stats.tensor_bytes
    accuracy = accuracy_of(task)
    ratio = stats.ratio_to_float32
    return [
        (task.index, str(task.index)),
        (task.name, task.name),
        ("", "–") if accuracy is None else (accuracy, f"{accuracy:.4f}"),
        (task.ones / task.bits, f"{task.ones / task.bits:.4f}"),
        (task.codec, task.codec),
        (size, f"{size:,}"),
        (8 * task.bytes / task.bits, f"{8 * task.bytes / task.bits:.4f}"),
        ("", "–") if ratio is None else (ratio, f"{ratio:,.1f}"),
    ]


def _pictures(archive: MaskArchive, names: Sequence[str]) -> Iterator[Picture]:
    if not names:
        return
    compared = spread(names, MOST_COMPARED)
    yield Picture(
        id="overlap",
        title="Overlap of masks",
        note=_of(len(compared), len(names))
        + " Two masks that know nothing of each other, each with half of the weights, share a "
        "third.",
        svg=overlap_svg(archive, compared),
    )
    looked_at = spread(names, MOST_MASKS)
    yield Picture(
        id="masks",
        title="First-layer masks",
        note=_of(len(looked_at), len(names))
        + " Over square images: the share of units that keep each pixel; else bits, a row an "
        "output.",
        svg=masks_svg(archive, looked_at),
    )


def _of(count: int, total: int) -> str:
    return "Of all tasks." if count == total else f"Of {count:,} of {total:,} tasks, evenly spread."


def _open_memory(
    archive: MaskArchive, path: Path, trusted_net: str | None
) -> tuple[MaskMemory, dict[str, TaskRecipe]]:
    """A memory of the archive's masks, and by name the tasks whose recovery is shown."""
    known = MaskMemory.open(path, trusted_net=trusted_net)
    if known.layout != archive.layout:
        raise LayoutMismatch(f"{path}: its masks are not those of the network of {archive.path}")
    recipes = {
        task.name: TaskRecipe.from_json(task.recipe)
        for task in known.tasks
        if task.recipe is not None and task.name in archive
    }
    if not recipes:
        raise InvalidInput(f"{path}: no task of {archive.path} that it knows the data of")
    return known, dict(islice(recipes.items(), MOST_RECOVERED))


def _recoveries(
    archive: MaskArchive,
    known: MaskMemory,
    recipes: Mapping[str, TaskRecipe],
    data_dir: Path | None,
) -> Iterator[Picture]:
    for at, (name, recipe) in enumerate(recipes.items()):
        images = recovery_images(known, data=data_dir, dataset=recipe.family_name, task=name)
        found = known.recover(images)
        document = recovery_json(known, found, name, str(archive.path))
        exact = "bit for bit" if document["exact"] else "another mask than the task's"
        yield Picture(
            id=f"recovery-{at}",
            title=f"Recovery from a Hopfield memory, {at + 1} of {len(recipes)}",
            note=f"From half of the task's test images, without labels: {exact}.",
            svg=recovery_svg(document),
        )
