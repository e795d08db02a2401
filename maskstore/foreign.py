"""The boundary for every file that somebody else wrote: checked, then parsed, or one clear line."""

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from maskstore.errors import InvalidInput, SupsupError

_LINE = 160
"""Characters of a parser's own message that are worth showing."""


@contextmanager
def foreign_file(path: Path, what: str, *, largest: int | None = None) -> Iterator[BufferedReader]:
    """Open a file that may hold anything; whatever its parser raises becomes one InvalidInput.

    Opening never waits: a named pipe without a writer is refused like every other thing that is no
    regular file.

    Args:
        what: what it should be, for messages: ``".npz file"``.
        largest: bytes that such a file may have; None for any number.

    Raises:
        InvalidInput: no such file, not a regular file, too large, or the block raised. Errors that
            are ours already pass unchanged.
    """
    try:
        with _open_regular(path, what) as file:
            if largest is not None:
                require_size(path, os.fstat(file.fileno()).st_size, largest)
            yield file
    except SupsupError:
        raise
    except MemoryError as error:
        raise InvalidInput(
            f"{path}: needs more memory than there is; is it really a {what}?"
        ) from error
    except Exception as error:
        raise InvalidInput(f"{path}: not a readable {what} ({one_line(error)})") from error


def require_size(path: Path, found: int, largest: int) -> None:
    """Raise InvalidInput where a file is, or says that it unpacks to, more than it may."""
    if found > largest:
        raise InvalidInput(
            f"{path}: holds {found} bytes, at most {largest} are read of such a file"
        )


def one_line(error: BaseException) -> str:
    """The first line of what a parser says, cut; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    return text if len(text) <= _LINE else text[: _LINE - 1] + "…"


def read_npz(path: Path, file: IO[bytes], *, largest: int) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, inside :func:`foreign_file`; ``largest`` bytes in all.

    Raises:
        InvalidInput: it unpacks to more; anything else that is wrong with it raises as it comes.
    """
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(file) as members:
        listed = members.infolist()
        require_size(path, sum(each.file_size for each in listed), largest)
        for each in listed:
            name = each.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"two arrays are called {name!r}")
            with members.open(each) as member:
                arrays[name] = read_npy(member, each.file_size)
    return arrays


def read_npy(file: IO[bytes] | BufferedIOBase, size: int) -> np.ndarray:
    """The array of an ``.npy`` of ``size`` bytes; nothing is unpickled.

    numpy allocates what the header says before it reads: here the header must fit the file.

    Raises:
        ValueError: another format, an array of objects, or of another size than the file's.
    """
    shape, in_columns, dtype = read_npy_header(file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which only pickle reads")
    if any(n < 0 for n in shape) or prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape} and type {dtype} does not fit {size} bytes")
    data = file.read(prod(shape) * dtype.itemsize)
    array = np.frombuffer(data, dtype, count=prod(shape)) if dtype.itemsize else np.empty(0, dtype)
    # A copy, as others are handed arrays that they may write to; numbers in native order.
    native = array.astype(dtype.newbyteorder("="))
    return native.reshape(shape, order="F" if in_columns else "C")


def read_npy_header(file: IO[bytes] | BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether column by column, type) of an ``.npy``; raises ValueError as its reader."""
    version = np.lib.format.read_magic(file)
    readers: dict[tuple[int, int], Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the .npy format")
    return readers[version](file)


def _open_regular(path: Path, what: str) -> BufferedReader:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL or a lone surrogate in the path
        raise InvalidInput(f"{str(path)!r}: no path of a file ({one_line(error)})") from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise InvalidInput(f"{path}: expected a regular file ({what}), found {_kind(mode)}")
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
