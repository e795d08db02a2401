"""CIFAR-100 from its binary release.

A record is 3,074 bytes: the coarse label, the fine label, then the red, green and blue channel of
32×32 pixels, row by row. The release is a gzipped tar with ``train.bin`` and ``test.bin`` in the
folder ``cifar-100-binary``; it is read as it is, or unpacked. The other release, of pickles, is
refused: reading a pickle runs what is in it.
"""

import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskstore.errors import InvalidInput
from supsup.datasets.cache import DownloadError, download, search_folders
from supsup.datasets.catalog import CifarSource

ARCHIVE = "cifar-100-binary.tar.gz"
FOLDER = "cifar-100-binary"
FILES = ("train.bin", "test.bin")
PICKLED = ("cifar-100-python", "cifar-100-python.tar.gz")
RECORD = 2 + 3 * 32 * 32

Records = UInt8[np.ndarray, "image 3074"]


def read_cifar(
    source: CifarSource, data_dir: str | os.PathLike[str] | None, *, quiet: bool
) -> list[UInt8[np.ndarray, "..."]]:
    """Train images (n, 3, 32, 32) and fine labels, test images and labels.

    Raises:
        InvalidInput: as :func:`supsup.datasets.load`.
    """
    folders = search_folders(source, data_dir)
    parts = _find(source, folders)
    if parts is None:
        _refuse_pickles(source, folders)
        target = folders[-1] / ARCHIVE
        _download(source, target, folders, quiet)
        parts = _read_archive(source, target)
    return [
        array
        for records in parts
        for array in (records[:, 2:].reshape(-1, 3, 32, 32), records[:, 1].copy())
    ]


def _find(source: CifarSource, folders: list[Path]) -> list[Records] | None:
    for folder in folders:
        for unpacked in (folder / FOLDER, folder):
            if all((unpacked / name).is_file() for name in FILES):
                return _read_folder(source, unpacked)
        if (folder / ARCHIVE).is_file():
            return _read_archive(source, folder / ARCHIVE)
    return None


def _refuse_pickles(source: CifarSource, folders: list[Path]) -> None:
    for folder in folders:
        for name in PICKLED:
            if (folder / name).exists():
                raise InvalidInput(
                    f"{folder / name}: the release of pickles, whose reading could run any code; "
                    f"put the binary release there, {ARCHIVE} from {source.url}"
                )


def _read_folder(source: CifarSource, folder: Path) -> list[Records]:
    parts = []
    for name, count, sha256 in zip(FILES, source.counts, source.sha256, strict=True):
        path = folder / name
        try:
            with open(path, "rb") as file:
                records = _read(file, path, count)
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be read ({error.strerror or error})") from error
        found = hashlib.sha256(records.data).hexdigest()
        if found != sha256:
            raise _wrong(source, path, "SHA-256", sha256, found)
        parts.append(records)
    return parts


def _read_archive(source: CifarSource, path: Path) -> list[Records]:
    """The records in a gzipped tar, which is read from memory and never unpacked."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.md5(usedforsecurity=False)
            while block := file.read(2**20):
                digest.update(block)
            found = digest.hexdigest()
            if found != source.md5:
                raise _wrong(source, path, "MD5", source.md5, found)
            file.seek(0)
            parts = []
            with tarfile.open(fileobj=file, mode="r:gz") as tar:
                for name, count in zip(FILES, source.counts, strict=True):
                    member = tar.extractfile(f"{FOLDER}/{name}")
                    if member is None:
                        raise InvalidInput(f"{path}: {FOLDER}/{name} in it is no file")
                    assert isinstance(member, io.BufferedIOBase)
                    parts.append(_read(member, path / FOLDER / name, count))
            return parts
    except KeyError as error:
        raise InvalidInput(f"{path}: {error.args[0]}; fetch it again") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: not a whole gzipped tar ({error}); fetch it again") from error
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error})") from error


def _read(file: io.BufferedIOBase, path: Path, count: int) -> Records:
    records = np.empty((count, RECORD), np.uint8)
    view, filled = records.reshape(-1).data, 0
    while filled < len(view) and (more := file.readinto(view[filled:])):
        filled += more
    if filled < len(view) or file.read(1):
        found = f"{filled}" if filled < len(view) else "more"
        raise InvalidInput(
            f"{path}: expected {count} records of {RECORD} bytes, {len(view)} bytes, "
            f"found {found}; fetch the file again"
        )
    return records


def _wrong(source: CifarSource, path: Path, kind: str, expected: str, found: str) -> InvalidInput:
    return InvalidInput(
        f"{path}: not the file of {source.name}, expected {kind} {expected}, found {found}; "
        "replace or remove it"
    )


def _download(source: CifarSource, target: Path, folders: list[Path], quiet: bool) -> None:
    def verify(path: Path) -> None:
        try:
            _read_archive(source, path)
        except InvalidInput as error:
            raise InvalidInput(f"{source.url}: what was downloaded is damaged ({error})") from error

    try:
        download(source.url, target, verify=verify, quiet=quiet)
    except DownloadError as error:
        raise InvalidInput(
            f"{source.name}: {ARCHIVE} not found in {', '.join(map(str, folders))} and not to be "
            f"had from {source.url} ({error}); put it, unpacked or not, into {folders[0]}"
        ) from error
