"""Archives as files: making, opening and replacing them without a moment in between."""

import os
from pathlib import Path
from typing import Any

from maskstore.device import FileDevice, sync_folder
from maskstore.errors import ArchiveExists, ArchiveWriteError
from maskstore.lock import lock_for_writing
from maskstore.store import Store


def create_file(path: Path, header: dict[str, Any], *, timeout: float, lock: bool) -> Store:
    """A new empty archive at ``path``, open for writing. See :meth:`MaskArchive.create`."""
    if path.exists() or path.is_symlink():
        raise _exists(path)
    device = draft_device(path)
    try:
        store = Store.create(device, header, str(path))
        if lock:
            lock_for_writing(device.fd, path, timeout)
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


def replace_file(draft: FileDevice, path: Path) -> None:
    """Put a finished, synced draft in the place of ``path``."""
    try:
        os.replace(draft.path, path)
    except OSError as error:
        raise ArchiveWriteError(f"{path}: {error.strerror or error}") from error
    draft.path = path
    sync_folder(path.parent)


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
