"""Files written whole or not at all: filled beside their place, then put there in one step.

A draft has a random name and is made by this process alone (``O_EXCL``), so nobody can plant a
file or a link where it will be. It takes its place once its bytes are on the disk; whatever goes
wrong before, an interrupt included, leaves what was in that place untouched and no draft behind.
That of a killed process goes when somebody next writes to the same place: whoever is at work on a
draft has a lock on it.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from maskstore.errors import ArchiveError, ArchiveExists, ArchiveWriteError, InvalidInput
from maskstore.storage.lock import lock_if_free

Content = bytes | Iterable[bytes] | Callable[[BinaryIO], object]
"""What a file shall hold: bytes, pieces one after another, or what a callback writes into it."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A new file, open for reading and writing, that is to take the place of ``target``.

    Attributes:
        fd: its descriptor, which whoever asked for the draft closes.
        path: where it is until then, in the folder of ``target``.
        target: the place.
        folder_fd: the folder, held open: renaming it meanwhile misleads nobody.
    """

    fd: int
    path: Path
    target: Path
    folder_fd: int

    def take_place(self) -> None:
        """Be ``target`` from now on, in the place of what is there, of a link itself, too.

        Durable only after :meth:`sync_folder`; the bytes are the caller's to sync before.
        """
        os.rename(
            self.path.name, self.target.name, src_dir_fd=self.folder_fd, dst_dir_fd=self.folder_fd
        )

    def take_free_place(self) -> None:
        """As :meth:`take_place`, where nothing is there yet; raises FileExistsError otherwise."""
        names = self.path.name, self.target.name
        try:
            os.link(*names, src_dir_fd=self.folder_fd, dst_dir_fd=self.folder_fd)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links: to look before is all there is.
            if os.path.lexists(self.target):
                raise FileExistsError(f"{self.target}: there is a file already") from None
            self.take_place()

    def sync_folder(self) -> None:
        """Make the new name survive power loss."""
        os.fsync(self.folder_fd)


@contextmanager
def draft_beside(path: Path) -> Iterator[Draft]:
    """A draft for ``path``, with the mode of the umask; gone at the end unless it took its place.

    Its descriptor holds a lock, where the file system has any. Drafts for ``path`` without one were
    left by killed processes and are removed.

    Raises:
        OSError: the folder is missing, or not readable and writable.
    """
    folder_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # Short, as a name beside one of 255 bytes must be possible, too.
    stem = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}"
    name = f"{stem}{os.urandom(12).hex()}.draft"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        _remove_left(folder_fd, stem)
        fd = os.open(name, flags, 0o666, dir_fd=folder_fd)
        lock_if_free(fd)
        yield Draft(fd=fd, path=path.with_name(name), target=path, folder_fd=folder_fd)
    finally:
        with suppress(OSError):  # it took its place, or cannot be removed and is no reason to fail
            os.unlink(name, dir_fd=folder_fd)
        os.close(folder_fd)


def _remove_left(folder_fd: int, stem: str) -> None:
    """Remove drafts of that stem that nobody is at work on."""
    for name in os.listdir(folder_fd):
        if name.startswith(stem) and name.endswith(".draft"):
            with suppress(OSError):  # not ours, or gone by now
                flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                fd = os.open(name, flags, dir_fd=folder_fd)
                try:
                    # One that was made this moment may not be locked yet: it is still empty.
                    status = os.fstat(fd)
                    if stat.S_ISREG(status.st_mode) and status.st_size and lock_if_free(fd):
                        os.unlink(name, dir_fd=folder_fd)
                finally:
                    os.close(fd)


def write_file(
    path: Path,
    content: Content,
    *,
    action: str = "write",
    check: Callable[[Path], object] | None = None,
) -> int:
    """Write a file whole or not at all, durable on return; returns its bytes.

    The mode is that of the umask (0666 less its bits). A link at ``path`` is replaced, never
    followed.

    Args:
        content: a callback is given the file, open for binary writing and seekable.
        action: what errors say that could not be done.
        check: called with the draft's path once all is in it; what it raises keeps the old file.

    Raises:
        InvalidInput: no path at all.
        ArchiveWriteError: the system refuses, or ``path`` is no regular file.
        Exception: what ``content`` or ``check`` raise.
    """
    require_writable(path, action=action)
    try:
        with draft_beside(path) as draft, open(draft.fd, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(draft.fd)
            size = os.fstat(draft.fd).st_size
            if check is not None:
                check(draft.path)
            draft.take_place()
            draft.sync_folder()
    except ArchiveError:
        raise
    except OSError as error:
        raise _refused(path, action, error) from error
    return size


def require_writable(path: Path, *, action: str = "write") -> None:
    """Raise as :func:`write_file` would, as far as that can be said before there is any content.

    What takes minutes to make should not be lost for a folder that was never there.
    """
    require_path(path)
    try:
        if path.exists() and not path.is_file():
            raise OSError("what is there is no regular file; name another path")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            os.stat(f"{path.parent}/.")  # says that it is not there, or no folder
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _refused(path, action, error) from error


def require_free(path: Path, *, overwrite: bool) -> None:
    """As :func:`require_writable`; raises ArchiveExists where something is there that must stay."""
    require_writable(path)
    if not overwrite and os.path.lexists(path):
        raise ArchiveExists(
            f"{path}: there is a file already; choose another path, or overwrite it with --force"
        )


def _refused(path: Path, action: str, error: OSError) -> ArchiveWriteError:
    missing = "" if path.parent.is_dir() else f" (no folder {path.parent})"
    return ArchiveWriteError(f"{path}: cannot {action}: {error.strerror or error}{missing}")


def require_path(path: Path) -> None:
    """Raise InvalidInput where no file can be made: a NUL, a lone surrogate, a URL."""
    try:
        encoded = os.fsencode(path)
    except ValueError as error:
        raise InvalidInput(f"{str(path)!r}: not a path ({error})") from error
    if b"\0" in encoded:
        raise InvalidInput(f"{str(path)!r}: not a path (embedded null character)")
    # Path takes one of the two slashes away.
    if _URL.match(str(path)) and not path.parent.is_dir():
        raise InvalidInput(
            f"{path}: a URL can only be read, and only an archive's; write a file here, then copy "
            "it there"
        )


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in ``folder`` survive power loss; raises ArchiveWriteError."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise ArchiveWriteError(f"{folder}: {error.strerror or error}") from error
