"""Commands that bring masks in from other projects and take dense models out: import, export."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import supsup
from maskstore import MaskArchive
from maskstore.storage.atomic import require_free
from supsup.choices import CheckpointName
from supsup_store import options
from supsup_store.console import counted, print_json, print_line, print_note
from supsup_store.options import among, listed
from supsup_store.progress import task_progress


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("import")(import_)
    app.command()(export)


def import_(
    archive: options.Archive,
    checkpoint: Annotated[
        Path, typer.Argument(help="final.pt, a state_dict of Piggyback, or a pack of its masks.")
    ],
    mask: Annotated[
        str | None,
        typer.Option(
            help=f"How its scores become masks: {listed(CheckpointName)}; by default what the "
            "checkpoint says.",
            autocompletion=among(CheckpointName),
        ),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(help="topk: share of weights kept; by default what the checkpoint says."),
    ] = None,
    multiplier: Annotated[
        float | None,
        typer.Option(help="topk: or s of --er-sparsity, min(0.5, s (in + out) / n) of a layer."),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="PREFIX", help="Tasks are called PREFIX/0, PREFIX/1, …")
    ] = "task",
    net: Annotated[
        str | None,
        typer.Option(
            help="Name the layers after this network's, a module:function too; none keeps the "
            "checkpoint's names. By default the net of the checkpoint's architecture."
        ),
    ] = None,
    outputs: Annotated[int | None, typer.Option(help="Outputs of --net.")] = None,
    classes: Annotated[
        int | None,
        typer.Option(help="Classes of each task; by default as many as the network has outputs."),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make an archive of the masks in a checkpoint of the paper's code or of Piggyback."""
    with task_progress("importing", None, quiet=quiet) as on_task:
        report = supsup.checkpoints.import_checkpoint(
            checkpoint,
            Path(archive),
            kind=mask,
            density=density,
            multiplier=multiplier,
            name=name,
            net=net,
            outputs=outputs,
            classes=classes,
            on_task=on_task,
        )
    if as_json:
        print_json(asdict(report))
        return
    print_line(
        f"{archive}: {counted(report.tasks, 'task')} of {report.bits_per_mask:,} bits "
        f"({report.kind}); "
        f"{report.checkpoint_bytes:,} bytes before, {report.archive_bytes:,} after"
    )
    if report.tied and not quiet:
        print_note(
            f"{counted(report.tied, 'bit')} of {report.tasks * report.bits_per_mask:,} "
            f"{'is' if report.tied == 1 else 'are'} among equal scores where topk cuts: "
            "the checkpoint's code may have kept others of them"
        )
    if report.note and not quiet:
        print_note(report.note)


def export(
    archive: options.Archive,
    task: options.TaskName,
    out: Annotated[Path, typer.Option(help="File to write: .safetensors.")],
    net: options.TrustedNet = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Write a task as a dense model (a state_dict) that needs no mask any more."""
    require_free(out, overwrite=force)
    with MaskArchive.open(archive) as opened:
        size = supsup.checkpoints.export_dense(
            opened, task, supsup.archives.backbone_of(opened, trusted_net=net), out
        )
    if as_json:
        print_json({"task": task, "out": str(out), "bytes": size})
    else:
        print_line(f"wrote {task} to {out}: {counted(size, 'byte')}")
