"""Where the files of a known data set may lie."""

import os
from pathlib import Path

import platformdirs

from maskstore.errors import InvalidInput
from supsup.data.catalog import Source


def search_folders(source: Source, data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """The folders to look into, best first; the last is where downloads go.

    Raises:
        InvalidInput: ``data_dir`` is no folder.
    """
    if data_dir is not None and not Path(data_dir).is_dir():
        raise InvalidInput(f"data folder {os.fspath(data_dir)}: no such folder")
    roots = [Path(root) for root in (data_dir, os.environ.get("SUPSUP_DATA")) if root]
    cache = platformdirs.user_cache_path("supsup-store", appauthor=False) / source.name
    return [folder for root in roots for folder in (root / source.name, root)] + [cache]
