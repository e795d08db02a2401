"""The entry point: what the user typed in, an exit code out."""

import sys
from typing import NoReturn

from supsup_store.console import print_note, show_what_cannot_be_encoded
from supsup_store.own_packages import InTheWay, find_only_ours


def main() -> None:
    """Run a command: 0 on success, 1 on a known error (one line), 2 on wrong usage."""
    show_what_cannot_be_encoded()
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
    except OSError as error:  # of a folder on the way to a file that was named, say
        _fail(f"{error.filename or 'the system refuses'}: {error.strerror or error}")


def _fail(message: str) -> NoReturn:
    print_note(f"error: {message}")
    sys.exit(1)
