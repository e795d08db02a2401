"""Archives as files: making, opening and replacing them without a moment in between."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from maskstore.errors import ArchiveError, ArchiveExists, ArchiveWriteError
from maskstore.storage.atomic import draft_beside, require_path
from maskstore.storage.lock import lock_for_writing, unlock
from maskstore.storage.raw_file import FileDevice
from maskstore.storage.store import Store


def create_file(
    path: Path,
    header: dict[str, Any],
    *,
    timeout: float,
    lock: bool,
    version: int = 1,
    fill: Callable[[Store], None] | None = None,
) -> Store:
    """A new archive at ``path``, open for writing. See :meth:`maskstore.MaskArchive.create`.

    ``fill`` may append to it first: the file gets its name only once all that is durable.
    """
    require_path(path)
    if os.path.lexists(path):
        raise _exists(path)
    try:
        with draft_beside(path) as draft:
            device = FileDevice(draft.path, mode="a", label=str(path), fd=draft.fd)
            try:
                store = Store.create(device, header, str(path), version=version)
                if lock:
                    lock_for_writing(device.fd, path, timeout)
                else:
                    unlock(device.fd)  # the draft's
                if fill is not None:
                    fill(store)
                    store.commit_if_changed()
                try:
                    draft.take_free_place()
                except FileExistsError as error:
                    raise _exists(path) from error
                draft.sync_folder()
            except BaseException:
                device.close()
                raise
    except ArchiveError:
        raise
    except OSError as error:
        raise ArchiveWriteError(f"{path}: {error.strerror or error}") from error
    device.path = path.resolve()
    return store


def open_file(path: Path, mode: str, *, timeout: float, lock: bool) -> Store:
    """The archive at ``path``. See :meth:`maskstore.MaskArchive.open`.

    Whoever writes calls :meth:`Store.recover` first, once it is known that nothing is damaged.
    """
    while True:
        device = FileDevice(path, mode=mode)
        try:
            if mode == "a" and lock:
                lock_for_writing(device.fd, path, timeout)
            if mode == "a" and device.is_replaced():
                # Compacted while we waited for the lock: this file is the past.
                device.close()
                continue
            return Store(device, str(path))
        except BaseException:
            device.close()
            raise


def replace_file(
    old: FileDevice,
    header: dict[str, Any],
    *,
    lock: bool,
    version: int,
    rows: int,
    text_bytes: int,
    fill: Callable[[Store], None],
    made: Callable[[Store], None],
) -> Store:
    """Put a new archive with what ``fill`` appends in the place of ``old``'s file.

    The caller holds the lock of the old file; the lock of the new one is held on return. The new
    name is durable only after :func:`maskstore.storage.atomic.sync_folder`.

    Args:
        made: told of the new one before it has its place: an interrupt may keep it from the caller.

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
    try:
        with draft_beside(old.path) as draft:
            device = FileDevice(draft.path, mode="a", label=old.label, fd=draft.fd)
            try:
                os.fchmod(device.fd, stat.S_IMODE(status.st_mode))
                with suppress(PermissionError):  # only root can give files away
                    os.fchown(device.fd, status.st_uid, status.st_gid)
                store = Store.create(
                    device, header, old.label, version=version, rows=rows, text_bytes=text_bytes
                )
                if lock:
                    lock_for_writing(device.fd, old.path, 0)
                else:
                    unlock(device.fd)  # the draft's
                fill(store)
                store.commit_if_changed()
                made(store)
                draft.take_place()
            except BaseException:
                device.close()
                raise
    except ArchiveError:
        raise
    except OSError as error:
        raise ArchiveWriteError(f"{old.label}: {error.strerror or error}") from error
    device.path = old.path
    return store


def _exists(path: Path) -> ArchiveExists:
    return ArchiveExists(
        f"{path}: there is a file already; choose another path, or add to it "
        "(`supsup-store add` or `train`; in Python mode 'a')"
    )
