"""Command that makes a page of an archive: report."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import supsup
from maskstore import InvalidInput, MaskArchive
from supsup_store import options
from supsup_store.console import counted, print_json, print_line
from supsup_store.progress import task_progress


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(report)


def report(
    archive: options.Archive,
    out: Annotated[Path, typer.Option(help="The page to write: .html.")],
    metrics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `eval --metrics --json` printed: its matrix, too."),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A memory of `encode`: how its masks are recovered, too."
        ),
    ] = None,
    net: options.TrustedNet = None,
    data: options.Data = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write one page of HTML: tasks, bytes, layers, overlap, masks. It needs no network."""
    measured = None if metrics is None else _read_json(metrics)
    with (
        MaskArchive.open(archive) as opened,
        task_progress("reading masks", len(opened), quiet=quiet) as told,
    ):
        size = supsup.report.write_report(
            opened,
            out,
            metrics=measured,
            memory=memory,
            trusted_net=net,
            data_dir=data,
            overwrite=force,
            on_task=told,
        )
        tasks = len(opened)
    if as_json:
        print_json({"out": str(out), "tasks": tasks, "bytes": size})
    else:
        print_line(f"wrote {out}: {counted(tasks, 'task')}, {counted(size, 'byte')}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: not JSON ({error})") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{path}: expected what `eval --metrics --json` prints")
    return document
