"""Finding the IDX files of a data set, verifying them, downloading those that are missing."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskstore.errors import InvalidInput
from supsup.datasets.cache import DownloadError, download, search_folders
from supsup.datasets.catalog import IDX_FILES, SOURCES, IdxSource
from supsup.datasets.idx import idx_md5, read_idx

Array = UInt8[np.ndarray, "..."]


@dataclass(frozen=True, slots=True)
class _File:
    """One of the four files of a data set."""

    source: IdxSource
    index: int

    @property
    def name(self) -> str:
        return IDX_FILES[self.index]

    @property
    def md5(self) -> str:
        return self.source.md5[self.index]

    def belongs_to_another(self, md5: str) -> bool:
        others = (other for other in SOURCES.values() if isinstance(other, IdxSource))
        return md5 != self.md5 and any(md5 == other.md5[self.index] for other in others)


def read_files(
    source: IdxSource, data_dir: str | os.PathLike[str] | None, *, quiet: bool
) -> list[Array]:
    """The arrays of ``IDX_FILES``, in that order; see :func:`supsup.datasets.load`.

    Raises:
        InvalidInput: as :func:`supsup.datasets.load`.
    """
    files = [_File(source, index) for index in range(len(IDX_FILES))]
    searched = search_folders(source, data_dir)  # refuses what is no folder, needed or not
    folders = [source.folder] if source.folder else searched
    arrays = {file: _find(file, folders) for file in files}
    missing = [file for file, array in arrays.items() if array is None]
    if missing:
        _download(source, missing, folders, quiet)
    return [
        _read(file, folders[-1] / f"{file.name}.gz") if array is None else array
        for file, array in arrays.items()
    ]


def at_hand(source: IdxSource, data_dir: str | os.PathLike[str] | None) -> bool:
    """Whether the files are there already, so that nothing would be downloaded.

    Raises:
        InvalidInput: ``data_dir`` is no folder, or a file is damaged.
    """
    folders = search_folders(source, data_dir)
    return all(_find(_File(source, index), folders) is not None for index in range(len(IDX_FILES)))


def _find(file: _File, folders: list[Path]) -> Array | None:
    for folder in folders:
        for path in (folder / file.name, folder / f"{file.name}.gz"):
            if not path.exists():
                continue
            array = read_idx(path)
            md5 = idx_md5(array)
            if md5 == file.md5:
                return array
            # These data sets share their file names: a folder of MNIST itself must not keep
            # Fashion-MNIST from being found further on.
            if not file.belongs_to_another(md5):
                raise InvalidInput(_wrong_checksum(file, path, md5))
    return None


def _read(file: _File, path: Path) -> Array:
    array = read_idx(path)
    if (md5 := idx_md5(array)) != file.md5:
        raise InvalidInput(_wrong_checksum(file, path, md5))
    return array


def _wrong_checksum(file: _File, path: Path, md5: str) -> str:
    return (
        f"{path}: not the file of {file.source.name}, expected MD5 {file.md5} (uncompressed), "
        f"found {md5}; replace or remove it"
    )


def _download(source: IdxSource, missing: list[_File], folders: list[Path], quiet: bool) -> None:
    """Put the missing files into the last folder."""
    names = ", ".join(file.name for file in missing)
    if source.url is None:
        raise InvalidInput(
            f"{source.name}: {names} not found in {folders[-1]}; install the package again"
        )
    for file in missing:
        target = folders[-1] / f"{file.name}.gz"
        url = f"{source.url}{file.name}.gz"

        def verify(path: Path, file: _File = file, url: str = url) -> None:
            try:
                _read(file, path)
            except InvalidInput as error:
                raise InvalidInput(f"{url}: what was downloaded is damaged ({error})") from error

        try:
            download(url, target, verify=verify, quiet=quiet)
        except DownloadError as error:
            raise InvalidInput(
                f"{source.name}: {names} not found in {', '.join(map(str, folders))} and not to "
                f"be had from {source.url} ({error}); put {source.name}'s files, gzipped or not, "
                f"into {folders[0]}"
            ) from error
