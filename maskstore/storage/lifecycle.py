"""Archives as files: making, opening and replacing them without a moment in between."""

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from maskstore.errors import ArchiveExists, ArchiveWriteError
from maskstore.storage.lock import lock_for_writing
from maskstore.storage.raw_file import FileDevice, sync_folder
from maskstore.storage.store import Store


def create_file(
    path: Path,
    header: dict[str, Any],
    *,
    timeout: float,
    lock: bool,
    fill: Callable[[Store], None] | None = None,
) -> Store:
    """A new archive at ``path``, open for writing. See :meth:`maskstore.MaskArchive.create`.

    ``fill`` may append to it first: the file gets its name only once all that is durable.
    """
    try:
        taken = path.exists() or path.is_symlink()
    except (OSError, ValueError) as error:
        raise ArchiveWriteError(f"{path}: cannot make an archive there ({error})") from error
    if taken:
        raise _exists(path)
    device = draft_device(path)
    try:
        store = Store.create(device, header, str(path))
        if lock:
            lock_for_writing(device.fd, path, timeout)
        if fill is not None:
            fill(store)
            store.commit_if_changed()
        _link(device.path, path)
    except BaseException:
        device.close()
        raise
    finally:
        device.path.unlink(missing_ok=True)
    device.path = path.resolve()
    sync_folder(device.path.parent)
    return store


def open_file(path: Path, mode: str, *, timeout: float, lock: bool) -> Store:
    """The archive at ``path``. See :meth:`maskstore.MaskArchive.open`."""
    while True:
        device = FileDevice(path, mode=mode)
        try:
            if mode == "a" and lock:
                lock_for_writing(device.fd, path, timeout)
            if mode == "a" and device.is_replaced():
                # Compacted while we waited for the lock: this file is the past.
                device.close()
                continue
            store = Store(device, str(path))
            if mode == "a":
                store.recover()
        except BaseException:
            device.close()
            raise
        return store


def draft_device(path: Path, name: str | None = None) -> FileDevice:
    """A new file beside ``path``, to be filled and then put in its place.

    Args:
        name: of the draft; a new one by default.

    Raises:
        ArchiveWriteError: the folder is missing or not writable.
    """
    # Short, as a name beside one of 255 bytes must be possible, too.
    name = name or f".{os.getpid()}.{os.urandom(4).hex()}.draft"
    return FileDevice(path.with_name(name), mode="x", label=str(path))


def replace_file(
    old: FileDevice,
    header: dict[str, Any],
    *,
    lock: bool,
    rows: int,
    text_bytes: int,
    fill: Callable[[Store], None],
) -> Store:
    """Put a new archive with what ``fill`` appends in the place of ``old``'s file.

    The caller holds the lock of the old file; the lock of the new one is held on return. The new
    name is durable only after :func:`sync_folder`.

    Raises:
        ArchiveWriteError: the system refuses, or the file has several names (hard links) and would
            become two files. The old file is as it was.
    """
    status = os.fstat(old.fd)
    if status.st_nlink > 1:
        raise ArchiveWriteError(
            f"{old.label}: has {status.st_nlink} hard links, of which only one would lead to the "
            "new file; remove the others first"
        )
    old.require_in_place()
    # One name for all tries: under the lock, a draft of that name was left by a killed process.
    name = f".{hashlib.sha256(old.path.name.encode()).hexdigest()[:16]}.draft"
    old.path.with_name(name).unlink(missing_ok=True)
    device = draft_device(old.path, name)
    device.label = old.label
    try:
        os.fchmod(device.fd, stat.S_IMODE(status.st_mode))
        with suppress(PermissionError):  # only root can give files away
            os.fchown(device.fd, status.st_uid, status.st_gid)
        store = Store.create(device, header, old.label, rows=rows, text_bytes=text_bytes)
        if lock:
            lock_for_writing(device.fd, old.path, 0)
        fill(store)
        store.commit_if_changed()
        os.replace(device.path, old.path)
    except OSError as error:
        device.path.unlink(missing_ok=True)
        device.close()
        if isinstance(error, ArchiveWriteError):
            raise
        raise ArchiveWriteError(f"{old.label}: {error.strerror or error}") from error
    except BaseException:
        device.path.unlink(missing_ok=True)
        device.close()
        raise
    device.path = old.path
    return store


def _link(draft: Path, path: Path) -> None:
    """Give the draft its name, unless the name is taken by now."""
    try:
        os.link(draft, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError:
        # A file system without hard links: the check above is all there is.
        if path.exists():
            raise _exists(path) from None
        os.rename(draft, path)


def _exists(path: Path) -> ArchiveExists:
    return ArchiveExists(
        f"{path}: there is a file already; choose another path, or add to it "
        "(open it with mode 'a')"
    )
