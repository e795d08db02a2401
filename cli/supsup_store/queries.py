"""Commands that ask what is in an archive: list, diff, overlap; and copy, which takes it along."""

from pathlib import Path
from typing import Annotated

import typer

import supsup
from maskstore import MaskArchive
from maskstore.queries import Overlap, diff_tasks, overlap_of, select
from maskstore.task_table import SortKey, accuracy_of, flat_rows, sort_tasks
from supsup.merging import copy_between
from supsup_store import options
from supsup_store.console import counted, print_csv, print_json, print_line, print_note, print_table
from supsup_store.options import among, listed, task_names

_MATRIX = 6
"""Tasks whose overlap is printed as a matrix; of more, each with its nearest."""

Pattern = Annotated[
    str | None, typer.Argument(metavar="[PATTERN]", help="Only these tasks: a name, or 'split-*'.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("list")(list_tasks)
    for command in (diff, overlap, copy):
        app.command()(command)


def list_tasks(
    archive: options.Archive,
    pattern: Pattern = None,
    sort: Annotated[
        str,
        typer.Option(
            help=f"{listed(SortKey)}.",
            autocompletion=among(SortKey),
        ),
    ] = "index",
    reverse: Annotated[bool, typer.Option("--reverse", help="The largest first.")] = False,
    as_csv: options.AsCsv = False,
    as_json: options.Json = False,
) -> None:
    """List the tasks, in order of arrival or sorted."""
    with MaskArchive.open(archive) as opened:
        chosen = map(opened.task, select(opened, pattern))
        tasks = sort_tasks(opened if pattern is None else chosen, sort, reverse=reverse)
        total = opened.file_bytes
        for each in opened.damage:
            print_note(f"{archive}: {each.cause}; `supsup-store verify` tells more")
    if as_json:
        print_json({"tasks": [task.to_json() for task in tasks], "total_bytes": total})
        return
    if as_csv:
        print_csv(*flat_rows(tasks))
        return
    rows = [
        (
            task.index,
            task.name,
            task.ones / task.bits,
            task.codec,
            task.bytes + sum(each.bytes for each in task.tensors),
            8 * task.bytes / task.bits,
            accuracy_of(task),
            task.sha256[:12],
        )
        for task in tasks
    ]
    print_table(
        ("#", "task", "density", "codec", "bytes", "bits/weight", "accuracy", "sha256"),
        rows,
        title=f"{archive}: {counted(len(tasks), 'task')}, {counted(total, 'byte')}",
        least_wanted=("sha256", "codec", "bits/weight", "density", "#"),
    )


def diff(
    archive: options.Archive,
    first: Annotated[
        str, typer.Argument(metavar="TASK", help="Name of a task.", autocompletion=task_names)
    ],
    second: Annotated[
        str, typer.Argument(metavar="OTHER", help="Name of another.", autocompletion=task_names)
    ],
    as_json: options.Json = False,
) -> None:
    """Set two tasks side by side: the weights that their masks share by layer, and metadata."""
    with MaskArchive.open(archive) as opened:
        found = diff_tasks(opened, first, second)
    if as_json:
        print_json(found.to_json())
        return
    print_table(
        ("layer", "bits", "first", "second", "both", "differ", "overlap"),
        [
            (row.layer, row.bits, row.first, row.second, row.both, row.hamming, row.jaccard)
            for row in (*found.layers, found.total)
        ],
        title=f"{first} beside {second}",
        least_wanted=("bits", "both", ("first", "second")),
    )
    if found.metadata:
        print_table(
            ("metadata", "first", "second"),
            [(path, *_told(*pair)) for path, pair in found.metadata.items()],
            long=("first", "second"),
        )
    else:
        print_line("no metadata differ")
    if found.tensors:
        print_line(f"tensors that differ: {', '.join(found.tensors)}")


def _told(first: object, second: object) -> tuple[str, str]:
    """Two values as text: numbers of six digits, or of as many as it takes to tell them apart."""
    short, other = (
        f"{each:.6g}" if isinstance(each, float) else str(each) for each in (first, second)
    )
    return (short, other) if short != other else (str(first), str(second))


def overlap(
    archive: options.Archive,
    task: options.TaskPattern = None,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="A matrix for every layer, too.")
    ] = False,
    plot: options.Plot = None,
    as_csv: options.AsCsv = False,
    as_json: options.Json = False,
) -> None:
    """How much masks share: of each two, weights that both keep over those that either keeps."""
    options.check_plot(plot)
    with MaskArchive.open(archive) as opened:
        names = select(opened, task)
        found = overlap_of(opened, names)
        layers = [
            overlap_of(opened, names, layer=name)
            for name in (opened.layout.shapes if per_layer else ())
        ]
    if plot is not None:
        supsup.plots.plot_overlap(found, plot)
    if as_json:
        print_json(found.to_json() | {"layers": [each.to_json() for each in layers]})
    elif as_csv:
        rows = [
            (each.layer or "all", name, *row)
            for each in (found, *layers)
            for name, row in zip(each.names, each.jaccard.tolist(), strict=True)
        ]
        print_csv(("layer", "task", *found.names), rows)
    else:
        for each in (found, *layers):
            _print_overlap(each, each.layer or archive)


def _print_overlap(found: Overlap, title: str) -> None:
    if len(found.names) > _MATRIX:
        print_table(("task", "shares most with", "overlap"), found.nearest(), title=title)
        return
    rows = [
        (at, name, *(f"{share:.2f}" for share in row))
        for at, (name, row) in enumerate(zip(found.names, found.jaccard, strict=True))
    ]
    print_table(("#", "task", *map(str, range(len(rows)))), rows, title=title)


def copy(
    archive: options.Archive,
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="A name, or a pattern: 'split-*'.", autocompletion=task_names
        ),
    ],
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="An archive of this network.")],
    timeout: options.Timeout = 10.0,
    no_lock: options.NoLock = False,
    as_json: options.Json = False,
) -> None:
    """Copy tasks into another archive of the same network, with all that they have."""
    with (
        MaskArchive.open(archive) as source,
        MaskArchive.open(other, "a", timeout=timeout, lock=not no_lock) as target,
    ):
        names = select(source, task)
        copy_between(source, names, target)
        tasks = len(target)
    if as_json:
        print_json({"copied": names, "out": str(other), "tasks": tasks})
    else:
        print_line(f"copied {counted(len(names), 'task')}; {other} has {counted(tasks, 'task')}")
