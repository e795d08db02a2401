"""Commands on the archive itself, without its network."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

import supsup
from maskstore import CorruptArchive, InvalidInput, MaskArchive
from maskstore import maintenance as maintain
from maskstore import verify as verify_archive
from maskstore.choices import CodecName, PresetName
from maskstore.interchange import load_task, require_mask_file, save_masks
from maskstore.selection import select_from
from maskstore.stats import MaskStats, archive_stats, layer_stats, task_stats
from supsup.choices import PROTOTYPES_SET
from supsup_store import options
from supsup_store.console import counted, print_json, print_line, print_readable, print_table
from supsup_store.options import among, listed
from supsup_store.progress import task_progress


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (add, show, get, remove, rename, stats, verify, repair, compact, merge):
        app.command()(command)


def add(
    archive: options.Archive,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of the task.")],
    file: Annotated[
        Path,
        typer.Argument(help="Mask: .npz or .safetensors of boolean arrays; tensors/NAME beside."),
    ],
    metadata: Annotated[str, typer.Option(help="JSON object to keep with the task.")] = "{}",
    codec: options.Codec = "auto",
    timeout: options.Timeout = 10.0,
    no_lock: options.NoLock = False,
    as_json: options.Json = False,
) -> None:
    """Add the mask of one task from a file."""
    with MaskArchive.open(archive, "a", timeout=timeout, lock=not no_lock) as opened:
        masks, tensors = load_task(file, opened.layout)
        added = opened.add(task, masks, _parse_json_object(metadata), tensors=tensors, codec=codec)
    if as_json:
        print_json(added.to_json())
    else:
        print_line(
            f"added {added.name}: {counted(added.bytes, 'byte')} ({added.codec}), "
            f"{counted(added.ones, 'one')}"
        )


def show(
    archive: options.Archive,
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="A task, or all.", autocompletion=options.task_names),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show what the archive is made for or, with TASK, all that is kept of one task."""
    with MaskArchive.open(archive) as opened:
        if task is not None:
            document = opened.task(task).to_json()
        else:
            document = {
                "layout": opened.layout.to_json(),
                "bits": opened.layout.bits,
                "backbone": opened.backbone,
                "weights_digest": opened.weights_digest,
                "parameters": opened.parameters,
                "tasks": len(opened),
                "file_bytes": opened.file_bytes,
                "format_version": opened.format_version,
                "shared": {
                    name: [each.to_json() for each in tensors]
                    for name, tensors in opened.shared.items()
                },
            }
            if PROTOTYPES_SET in opened.shared:
                # With PyTorch, which an archive without prototypes need not wait for.
                from supsup.inference.prototypes import whose_prototypes

                try:
                    document["prototypes"] = whose_prototypes(opened)
                except CorruptArchive as error:  # all else is shown as ever
                    document["prototypes"] = {"unreadable": str(error)}
    if as_json:
        print_json(document)
    else:
        print_readable(document)


def get(
    archive: options.Archive,
    task: options.TaskName,
    out: Annotated[Path, typer.Option(help="File to write: .npz or .safetensors.")],
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Write the mask of a task, and its tensors as tensors/NAME, to a file of arrays."""
    require_mask_file(out, overwrite=force)
    with MaskArchive.open(archive) as opened:
        save_masks(out, opened.get(task), opened.tensors(task))
        found = opened.task(task)
    if as_json:
        print_json(found.to_json() | {"out": str(out)})
    else:
        print_line(
            f"wrote {found.name} to {out}: {counted(found.bits, 'bit')}, "
            f"{counted(found.ones, 'one')}"
        )


def remove(
    archive: options.Archive,
    task: options.TaskName,
    timeout: options.Timeout = 10.0,
    no_lock: options.NoLock = False,
    as_json: options.Json = False,
) -> None:
    """Remove a task."""
    with MaskArchive.open(archive, "a", timeout=timeout, lock=not no_lock) as opened:
        removed = opened.task(task)
        opened.remove(task)
        left = len(opened)
    if as_json:
        print_json({"removed": removed.name, "tasks": left})
    else:
        print_line(f"removed {removed.name}; {counted(left, 'task')} left")


def rename(
    archive: options.Archive,
    task: options.TaskName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")],
    timeout: options.Timeout = 10.0,
    no_lock: options.NoLock = False,
    as_json: options.Json = False,
) -> None:
    """Give a task another name; it keeps its place and all that belongs to it."""
    with MaskArchive.open(archive, "a", timeout=timeout, lock=not no_lock) as opened:
        renamed = opened.rename(task, new)
    if as_json:
        print_json(renamed.to_json())
    else:
        print_line(f"renamed {task} to {renamed.name}")


def stats(
    archive: options.Archive,
    task: options.TaskPattern = None,
    per_task: Annotated[
        bool, typer.Option("--per-task", help="Also a row for every task.")
    ] = False,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Also a row for every layer; decodes every mask.")
    ] = False,
    plot: options.Plot = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Bytes a task, beside one bit a weight, the entropy bound and a dense model each.

    With --task the file's bytes are the share of those tasks: their masks and tensors, and of the
    rest of the file as much as any other task.
    """
    options.check_plot(plot)
    details: dict[str, list[MaskStats]] = {}
    with MaskArchive.open(archive) as whole:
        opened = select_from(whole, task)
        figures = archive_stats(opened)
        if per_task:
            details["per_task"] = list(task_stats(opened))
        if per_layer:
            with task_progress("reading masks", len(opened), quiet=quiet) as report:
                details["per_layer"] = layer_stats(opened, on_task=report)
    if plot is not None:
        supsup.plots.plot_bytes(figures, plot)
    if as_json:
        rows_of = {key: [row.to_json() for row in rows] for key, rows in details.items()}
        print_json(figures.to_json() | rows_of)
        return
    rows = [
        (key.replace("_", " "), value)
        for key, value in figures.to_json().items()
        if key != "by_codec" and value is not None
    ]
    for codec, counts in figures.by_codec.items():
        size = f"{counted(counts['tasks'], 'task')}, {counted(counts['bytes'], 'byte')}"
        rows.append((f"codec {codec}", size))
    print_table(("figure", "value"), rows, title=str(archive))
    for key, each in details.items():
        fields = [row.to_json() for row in each]
        headings = [name.replace("_", " ") for name in fields[0]] if fields else []
        print_table(
            headings,
            [list(row.values()) for row in fields],
            title=key.replace("_", " "),
            least_wanted=(
                "ratio to float16",
                "bitpacked bytes",
                "entropy bytes",
                "bits",
                "bits per weight",
                "density",
            ),
        )


def verify(
    archive: options.Archive,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every mask, too.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check the archive; exit code 1 and the name of every damaged task if there is damage."""
    with MaskArchive.open(archive) as opened:
        tasks = len(opened)
        with task_progress("verifying", tasks, quiet=quiet) as report:
            damage = verify_archive(opened, deep=deep, on_task=report)
    if as_json:
        print_json({"tasks": tasks, "deep": deep, "damage": [item._asdict() for item in damage]})
    elif damage:
        print_table(("task", "cause"), damage, title=f"{archive}: damaged", long=("cause",))
    else:
        print_line(f"{archive}: {counted(tasks, 'task')}, no damage")
    if damage:
        raise typer.Exit(1)


def repair(
    archive: options.Archive,
    out: Annotated[Path, typer.Option(help="The new archive.")],
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Copy every intact task into a new archive and name what is lost."""
    with (
        MaskArchive.open_to_salvage(archive) as opened,
        task_progress("repairing", len(opened), quiet=quiet) as report,
    ):
        lost = maintain.repair(opened, out, on_task=report)
    with MaskArchive.open(out) as repaired:
        tasks = len(repaired)
    if as_json:
        print_json({"out": str(out), "tasks": tasks, "lost": [item._asdict() for item in lost]})
        return
    if lost:
        print_table(("task", "cause"), lost, title="lost", long=("cause",))
    print_line(f"{out}: {counted(tasks, 'task')}, {len(lost)} lost")


def compact(
    archive: options.Archive,
    codec: Annotated[
        str | None,
        typer.Option(
            help=f"Re-encode every mask: {listed(PresetName, CodecName)}.",
            autocompletion=among(PresetName, CodecName),
        ),
    ] = None,
    timeout: options.Timeout = 10.0,
    no_lock: options.NoLock = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Rewrite the archive without what removals and growth left behind."""
    with MaskArchive.open(archive, "a", timeout=timeout, lock=not no_lock) as opened:
        with task_progress("compacting", len(opened), quiet=quiet) as report:
            saved = maintain.compact(opened, codec=codec, on_task=report)
        left = opened.file_bytes
    if as_json:
        print_json({"saved_bytes": saved, "total_bytes": left})
    else:
        print_line(f"{archive}: {counted(left, 'byte')}, {saved:,} saved")


def merge(
    archives: Annotated[list[Path], typer.Argument(help="Archives of one network.")],
    out: Annotated[Path, typer.Option(help="The new archive.")],
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Join archives of the same network into a new one."""
    with ExitStack() as stack:
        opened = [stack.enter_context(MaskArchive.open(path)) for path in archives]
        report = stack.enter_context(task_progress("merging", sum(map(len, opened)), quiet=quiet))
        tasks = supsup.merging.merge_archives(opened, out, on_task=report)
    if as_json:
        print_json({"out": str(out), "tasks": tasks})
    else:
        print_line(f"{out}: {counted(tasks, 'task')} from {counted(len(archives), 'archive')}")


def _parse_json_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"--metadata: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"--metadata: expected a JSON object, got {text[:40]!r}")
    return value
