"""Options that mean the same in every command (one definition each)."""

from pathlib import Path
from typing import Annotated

import typer

from maskstore import InvalidInput

Archive = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="The archive file (*.h5); to read, also a URL (s3://…)."
    ),
]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Name of the task.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, no notes on stderr.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")]
Codec = Annotated[
    str, typer.Option(help="auto (the smallest of all), fast, raw, zstd, gaps, ans or seeded.")
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for another writer.")]
NoLock = Annotated[
    bool, typer.Option("--no-lock", help="Write without a lock (file systems that have none).")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the data files (or SUPSUP_DATA)."),
]
TrustedNet = Annotated[
    str | None,
    typer.Option("--net", help="Name the archive's own module:function to trust its code."),
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="PATH", help="Save a plot here.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")]


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers from ``0,1,2``; raises InvalidInput that names the option."""
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise InvalidInput(
            f"{option}: expected whole numbers separated by commas, such as 0,1,2, got {text!r}"
        ) from None
