"""Where the files of a data set lie, and downloading them: whole and verified, or not at all."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

from maskstore.errors import InvalidInput
from maskstore.storage.atomic import write_file
from supsup.datasets.catalog import Source

_TIMEOUT = 30.0
"""Seconds without an answer after which a server counts as out of reach."""
_CHUNK = 2**16


class DownloadError(Exception):
    """The network or the server failed; the caller knows what to do instead and says so."""


def download(
    url: str, target: Path, *, verify: Callable[[Path], object], quiet: bool = False
) -> None:
    """Fetch ``url`` into ``target``, with a progress bar on a terminal and a line elsewhere,
    unless ``quiet``.

    The bytes go to a temporary file in the same folder, which takes the target's name only once
    ``verify`` (called with its path) has not objected.

    Raises:
        DownloadError: no network, no such file on the server, or the connection broke.
        InvalidInput: the folder cannot be written to, or what ``verify`` raises.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_file(
            target, _with_progress(_blocks(url), target.name, quiet), action="keep", check=verify
        )
    except OSError as error:
        # Of the disk, not of the network: those arrive here as DownloadError.
        raise InvalidInput(
            f"{target.parent}: cannot keep downloaded files there ({error.strerror or error}); "
            "make room, or fetch them yourself and name their folder with --data or SUPSUP_DATA"
        ) from error


def _blocks(url: str) -> Iterator[tuple[bytes, int | None]]:
    """The body of ``url`` in blocks, each with the whole body's size if the server tells it."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            length = response.headers.get("Content-Length", "")
            while block := response.read(_CHUNK):
                yield block, int(length) if length.isdecimal() else None
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise DownloadError(str(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise DownloadError(str(error) or type(error).__name__) from error


def _with_progress(
    blocks: Iterator[tuple[bytes, int | None]], name: str, quiet: bool
) -> Iterator[bytes]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        bar = progress.add_task(name, total=None)
        said = quiet or console.is_terminal
        for block, total in blocks:
            if not said:  # in a job's log: once, and only what has begun
                console.print(f"downloading {name}", highlight=False, markup=False)
                said = True
            yield block
            progress.update(bar, advance=len(block), total=total)


def search_folders(source: Source, data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """The folders to look into, best first; the last is where downloads go.

    Raises:
        InvalidInput: ``data_dir`` is no folder.
    """
    import platformdirs  # by whoever reads files of ours, not by whoever opens an archive

    if data_dir is not None and not Path(data_dir).is_dir():
        raise InvalidInput(f"data folder {os.fspath(data_dir)}: no such folder")
    roots = [Path(root) for root in (data_dir, os.environ.get("SUPSUP_DATA")) if root]
    cache = platformdirs.user_cache_path("supsup-store", appauthor=False) / source.name
    return [folder for root in roots for folder in (root / source.name, root)] + [cache]
