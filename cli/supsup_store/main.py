"""The typer app: commands in, exit codes out."""

import sys
from typing import NoReturn

import typer

from maskstore import SupsupError
from supsup_store import (
    archive_commands,
    demo,
    hopfield,
    inference,
    models,
    network,
    nns,
    reproduce,
    training,
)
from supsup_store.console import stderr

app = typer.Typer(
    name="supsup-store",
    help="Thousands of tasks on one frozen random network, one compressed mask each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
demo.register(app)
network.register(app)
training.register(app)
inference.register(app)
models.register(app)
hopfield.register(app)
nns.register(app)
reproduce.register(app)
archive_commands.register(app)


def main() -> None:
    """Entry point: 0 on success, 1 on a known error (one line), 2 on wrong usage."""
    try:
        app()
    except SupsupError as error:
        _fail(str(error))
    except PermissionError as error:  # of a folder on the way to a file that was named
        _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> NoReturn:
    stderr.print(f"error: {message}", markup=False, soft_wrap=True)
    sys.exit(1)
