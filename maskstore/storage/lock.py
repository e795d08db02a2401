"""One writer at a time: an advisory lock on the archive file itself."""

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from maskstore.errors import ArchiveLocked, ArchiveWriteError, InvalidInput

_POLL_SECONDS = 0.02


def lock_for_writing(fd: int, path: Path, timeout: float) -> None:
    """Take the exclusive lock on ``fd``, waiting up to ``timeout`` seconds.

    The lock goes when the descriptor is closed, so a killed writer leaves nothing behind.

    Raises:
        InvalidInput: the timeout is negative or NaN.
        ArchiveLocked: another writer held it all the time; its process is named where known.
        ArchiveWriteError: the file system has no locks.
    """
    advice = (
        "open with `lock=False` (--no-lock) only if you are sure that nothing else writes to it"
    )
    if not timeout >= 0:
        raise InvalidInput(f"timeout: expected seconds from 0, got {timeout}")
    give_up = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise ArchiveWriteError(
                    f"{path}: this file system refuses locks ({error.strerror}); {advice}"
                ) from error
        if time.monotonic() >= give_up:
            raise ArchiveLocked(
                f"{path}: {_holder(fd)} is writing to it (waited {timeout:g} s); "
                "try again when it is done, or wait longer with `timeout=` (--timeout)"
            )
        time.sleep(_POLL_SECONDS)


def lock_if_free(fd: int) -> bool:
    """Take the lock on ``fd`` unless somebody has it; False also where there are no locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unlock(fd: int) -> None:
    """Give back the lock on ``fd``, if it is held."""
    with suppress(OSError):  # a file system without locks has none to give back
        fcntl.flock(fd, fcntl.LOCK_UN)


def _holder(fd: int) -> str:
    """The process that holds the lock, as far as the system tells (Linux: /proc/locks)."""
    status = os.fstat(fd)
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return "another process"
    for line in lines:
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted:
            return f"process {fields[4]}"
    return "another process"
