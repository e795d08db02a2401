"""Archives as files: making, opening and replacing them without a moment in between."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskstore.device import FileDevice, sync_folder
from maskstore.errors import ArchiveExists, ArchiveWriteError
from maskstore.lock import lock_for_writing
from maskstore.store import Store


def create_file(
    path: Path,
    header: dict[str, Any],
    *,
    timeout: float,
    lock: bool,
    fill: Callable[[Store], None] | None = None,
) -> Store:
    """A new archive at ``path``, open for writing. See :meth:`MaskArchive.create`.

    ``fill`` may append to it first: the file gets its name only once all that is durable.
    """
    if path.exists() or path.is_symlink():
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
    device.path = path
    sync_folder(path.parent)
    return store


def open_file(path: Path, mode: str, *, timeout: float, lock: bool) -> Store:
    """The archive at ``path``. See :meth:`MaskArchive.open`."""
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


def draft_device(path: Path) -> FileDevice:
    """A new file beside ``path``, to be filled and then put in its place.

    Raises:
        ArchiveWriteError: the folder is missing or not writable.
    """
    draft = path.with_name(f".{path.name[:100]}.{os.getpid()}.{os.urandom(4).hex()}.draft")
    return FileDevice(draft, mode="x")


def replace_file(
    path: Path,
    header: dict[str, Any],
    *,
    lock: bool,
    rows: int,
    text_bytes: int,
    fill: Callable[[Store], None],
) -> Store:
    """Make a new archive with what ``fill`` appends, then put it in the place of ``path``.

    The caller holds the lock of the old file; the lock of the new one is held on return.
    """
    device = draft_device(path)
    try:
        store = Store.create(device, header, str(path), rows=rows, text_bytes=text_bytes)
        if lock:
            lock_for_writing(device.fd, path, 0)
        fill(store)
        store.commit_if_changed()
        try:
            os.replace(device.path, path)
        except OSError as error:
            raise ArchiveWriteError(f"{path}: {error.strerror or error}") from error
    except BaseException:
        device.close()
        device.path.unlink(missing_ok=True)
        raise
    device.path = path
    sync_folder(path.parent)
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
