"""Positioned reads and writes: all that an archive asks of storage."""

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from maskstore.errors import (
    ArchiveClosed,
    ArchiveNotFound,
    ArchiveWriteError,
    CorruptArchive,
    InvalidInput,
)
from maskstore.storage.lock import unlock


class ReadableDevice(ABC):
    """Storage that can be read at any position."""

    writable: bool = False

    @abstractmethod
    def size(self) -> int:
        """Length in bytes."""

    @abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``; raises CorruptArchive where the file ends."""

    @abstractmethod
    def close(self) -> None:
        """Release the storage, and its lock if there is one."""


class Device(ReadableDevice):
    """Storage that can be written. Writes are durable only after :meth:`sync`."""

    writable = True

    @abstractmethod
    def write(self, offset: int, data: bytes) -> None:
        """Write all of ``data``; raises ArchiveWriteError when the system refuses."""

    @abstractmethod
    def sync(self) -> None:
        """Return once everything written, and the length, will survive power loss."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""

    def require_in_place(self) -> None:
        """Raise ArchiveWriteError where what is written could not be found again."""

    def require_owner(self) -> None:
        """Raise ArchiveWriteError in another process than the one that opened the storage."""


class FileDevice(Device):
    """A file of the operating system."""

    fd: int = -1  # also of one that could not even begin, which is dropped all the same

    def __init__(
        self, path: Path, *, mode: str, label: str | None = None, fd: int | None = None
    ) -> None:
        """Open ``path``: mode ``r`` reads, ``a`` reads and writes.

        Args:
            label: what errors call the file; the path by default.
            fd: the file, where it is open already; it is taken over.

        Raises:
            InvalidInput: no path at all.
            ArchiveNotFound: there is no such file, or it is a folder.
            ArchiveWriteError: the system refuses.
        """
        flags = {"r": os.O_RDONLY, "a": os.O_RDWR}[mode]
        self.fd = -1 if fd is None else fd
        self.label = label or str(path)
        self.writable = mode != "r"
        self._owner = os.getpid()
        self._readers, self._reading, self._closing = RLock(), 0, False
        try:
            # Links are followed once: a file that is replaced later is the one opened now, and
            # a change of the working folder changes nothing.
            self.path = path.resolve()
            # Not blocking: a named pipe must be refused, not waited for.
            if fd is None:
                self.fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise self._not_found(error.strerror) from error
        except OSError as error:
            raise self._refused(error) from error
        except ValueError as error:
            raise InvalidInput(f"{self.label!r}: not a path ({error})") from error
        except RuntimeError as error:  # what pathlib raises before Python 3.13
            raise self._not_found("a loop of symbolic links") from error
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            self.close()
            raise self._not_found("not a regular file")

    def _not_found(self, why: str | None) -> ArchiveNotFound:
        return ArchiveNotFound(
            f"{self.label}: no archive there ({why}); "
            "make one with `supsup-store create` or check the path"
        )

    def _refused(self, error: OSError) -> ArchiveWriteError:
        return ArchiveWriteError(f"{self.label}: {error.strerror or error}")

    def size(self) -> int:
        with self._open_fd() as fd:
            return os.fstat(fd).st_size

    def read(self, offset: int, size: int) -> bytes:
        try:
            with self._open_fd() as fd:
                data = os.pread(fd, size, offset)
                while len(data) < size:  # one pread returns at most 2 GiB
                    more = os.pread(fd, size - len(data), offset + len(data))
                    if not more:
                        break
                    data += more
        except OSError as error:
            raise CorruptArchive(
                f"{self.label}: reading {size} bytes at {offset} failed: {error.strerror or error}"
            ) from error
        if len(data) != size:
            raise CorruptArchive(
                f"{self.label}: expected {size} bytes at {offset}, the file ends after {len(data)}"
            )
        return data

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        try:
            with self._open_fd() as fd:
                while view:
                    written = os.pwrite(fd, view, offset)
                    offset, view = offset + written, view[written:]
        except OSError as error:
            raise self._refused(error) from error

    def sync(self) -> None:
        try:
            with self._open_fd() as fd:
                os.fsync(fd)
        except OSError as error:
            raise self._refused(error) from error

    def truncate(self, size: int) -> None:
        try:
            with self._open_fd() as fd:
                os.ftruncate(fd, size)
        except OSError as error:
            raise self._refused(error) from error

    def is_replaced(self) -> bool:
        """Whether the path now leads to another file than the one held open, or to none."""
        try:
            there = os.stat(self.path)
        except OSError:
            return True
        with self._open_fd() as fd:
            return not os.path.samestat(there, os.fstat(fd))

    def require_in_place(self) -> None:
        if self.is_replaced():
            raise ArchiveWriteError(
                f"{self.label}: the file was deleted or replaced while it was open, so nothing "
                "more is written to it; open the archive again"
            )

    def require_owner(self) -> None:
        if os.getpid() != self._owner:
            raise ArchiveWriteError(
                f"{self.label}: opened for writing by process {self._owner}, of which this one is "
                "a fork: only that one writes; open the archive again here, once it is closed there"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles open the file again, to read: no descriptor has two owners."""
        if self.fd < 0:
            raise ArchiveClosed(f"{self.label}: closed, so it cannot be copied")
        return _open_to_read, (self.path, self.label)

    def release(self) -> None:
        """Give back the lock and write no more; who has it still reads on."""
        if self.writable and self.fd >= 0 and os.getpid() == self._owner:
            # A process forked meanwhile shares the lock and would keep it.
            unlock(self.fd)
        self.writable = False

    def close(self) -> None:
        self.release()
        with self._readers:
            self._closing = True
            if not self._reading:
                self._close_now()

    def _close_now(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    @contextmanager
    def _open_fd(self) -> Iterator[int]:
        """The descriptor, which stays open meanwhile: its number would soon be another file's."""
        with self._readers:
            if self._closing:
                raise ArchiveClosed(f"{self.label}: the archive is closed")
            self._reading += 1
        try:
            yield self.fd
        finally:
            with self._readers:
                self._reading -= 1
                if self._closing and not self._reading:
                    self._close_now()

    def __del__(self) -> None:
        self.release()
        self._close_now()


def _open_to_read(path: Path, label: str) -> FileDevice:
    return FileDevice(path, mode="r", label=label)
