"""The entry point: what the user typed in, an exit code out.

Before anything else our packages are told from a user's file of the same name: ``--net
module:function`` may lie on PYTHONPATH, and ``python -m`` looks in the current folder; a
scratch ``hopfield.py`` there would be imported in the place of the package, and run.
"""

import sys
import time
import warnings
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_STARTED = time.perf_counter()
"""When the process began, but for Python's own start: what follows imports, which takes seconds."""

STOPPED = 130
"""The exit code on Ctrl-C, as shells expect it."""

_SIGNS = {"maskstore": "layout.py", "hopfield": "patterns.py", "supsup": "choices.py"}
"""Package → a file that it has, and no other of its name."""


class InTheWay(Exception):
    """A file was found in the place of a package. No ImportError: nobody is to make do without."""


class OurPackages(MetaPathFinder):
    """Finds what the finders behind it do; raises InTheWay where that is no package of ours."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of our packages; None for anything else."""
        if fullname not in _SIGNS:
            return None
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(fullname, path, target) for finder in behind)
        spec = next(filter(None, found), None)
        if spec is not None:
            folders = spec.submodule_search_locations or ()
            if not any(Path(folder, _SIGNS[fullname]).is_file() for folder in folders):
                raise InTheWay(
                    f"{spec.origin or next(iter(folders))} is in the way of the package "
                    f"{fullname!r} of supsup-store, which is needed here; rename it, or take its "
                    "folder off PYTHONPATH and run in another one"
                )
        return spec


def find_only_ours() -> None:
    """From now on, an import that finds another's file in the place of a package of ours fails."""
    if not any(isinstance(finder, OurPackages) for finder in sys.meta_path):
        sys.meta_path.insert(0, OurPackages())


def main() -> None:
    """Run a command: 0 on success, 1 on a known error, 2 on wrong usage, 130 on Ctrl-C; each error
    is a line, and so is what Ctrl-C leaves."""
    try:
        code = _run()
    except KeyboardInterrupt:
        code = STOPPED
    if code == STOPPED:  # while modules were imported, or arguments parsed
        _fail("stopped: nothing was begun; run the same command again", STOPPED)
    sys.exit(code or 0)  # a command that is done returns nothing


def _run() -> int | None:
    """The code that the command ends with, if it says one; what is to be said of an error is."""
    from supsup_store.console import show_what_cannot_be_encoded

    show_what_cannot_be_encoded()
    # Pillow's own limit lies under the one that pictures are refused by, in a line of ours.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    find_only_ours()
    try:
        # Not before: these import the packages, and a user's files may have their names.
        from maskstore.errors import SupsupError
        from supsup_store.app import WrongUsage, app, explain
        from supsup_store.command_help import Stopped
    except InTheWay as error:
        _fail(f"error: {error}")
    except ImportError as error:
        if error.name != "maskstore":  # which says so itself where it cannot run
            raise
        _fail(f"error: {error}")
    try:
        code: int | None = app(obj=_STARTED, prog_name="supsup-store", standalone_mode=False)
        return code
    except Stopped as stopped:
        _fail(str(stopped), STOPPED)
    except WrongUsage as error:
        _fail(f"error: {explain(error)}", code=2)
    except (SupsupError, InTheWay) as error:
        _fail(f"error: {error}")
    except OSError as error:  # of a folder on the way to a file that was named, say
        _fail(f"error: {error.filename or 'the system refuses'}: {error.strerror or error}")


def _fail(message: str, code: int = 1) -> NoReturn:
    from supsup_store.console import print_note

    print_note(message)
    sys.exit(code)
