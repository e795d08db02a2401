"""Commands that bring masks in from other projects and take dense models out: import, export."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from maskstore import MaskArchive
from supsup_store import options
from supsup_store.console import print_json, task_progress


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("import")(import_)
    app.command()(export)


def import_(
    archive: options.Archive,
    checkpoint: Annotated[Path, typer.Argument(help="final.pt or a Piggyback state_dict.")],
    mask: Annotated[
        str, typer.Option(help="How its scores become masks: threshold, topk or piggyback.")
    ] = "threshold",
    density: Annotated[float, typer.Option(help="topk: share of weights kept.")] = 0.5,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make an archive of the masks in a checkpoint of the paper's code or of Piggyback."""
    from supsup.checkpoints import import_checkpoint

    with task_progress("importing", None, quiet=quiet) as on_task:
        report = import_checkpoint(
            checkpoint, Path(archive), kind=mask, density=density, on_task=on_task
        )
    if as_json:
        print_json(asdict(report))
    else:
        typer.echo(
            f"{archive}: {report.tasks} tasks of {report.bits_per_mask:,} bits; "
            f"{report.checkpoint_bytes:,} bytes before, {report.archive_bytes:,} after"
        )


def export(
    archive: options.Archive,
    task: options.TaskName,
    out: Annotated[Path, typer.Option(help="File to write: .safetensors.")],
    net: options.TrustedNet = None,
    as_json: options.Json = False,
) -> None:
    """Write a task as a dense model (a state_dict) that needs no mask any more."""
    from supsup.archives import backbone_of
    from supsup.checkpoints import export_dense

    with MaskArchive.open(archive) as opened:
        size = export_dense(opened, task, backbone_of(opened, trusted_net=net), out)
    if as_json:
        print_json({"task": task, "out": str(out), "bytes": size})
    else:
        typer.echo(f"wrote {task} to {out}: {size:,} bytes")
