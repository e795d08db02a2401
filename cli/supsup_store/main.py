"""The entry point: what the user typed in, an exit code out."""

import sys
from typing import NoReturn

from supsup_store.console import stderr
from supsup_store.own_packages import InTheWay, find_only_ours


def main() -> None:
    """Run a command: 0 on success, 1 on a known error (one line), 2 on wrong usage."""
    find_only_ours()
    try:
        # Not before: these import the packages, and a user's files may have their names.
        from maskstore.errors import SupsupError
        from supsup_store.app import app
    except InTheWay as error:
        _fail(str(error))
    try:
        app()
    except (SupsupError, InTheWay) as error:
        _fail(str(error))
    except PermissionError as error:  # of a folder on the way to a file that was named
        _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> NoReturn:
    stderr.print(f"error: {message}", markup=False, soft_wrap=True)
    sys.exit(1)
