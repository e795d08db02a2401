"""The typer app: commands in, exit codes out."""

import sys

import typer

from cli import archive_commands, inference, models, training
from cli.console import stderr
from maskstore import SupsupError

app = typer.Typer(
    name="supsup-store",
    help="Thousands of tasks on one frozen random network, one compressed mask each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
training.register(app)
inference.register(app)
models.register(app)
archive_commands.register(app)


def main() -> None:
    """Entry point: 0 on success, 1 on a known error (one line), 2 on wrong usage."""
    try:
        app()
    except SupsupError as error:
        stderr.print(f"error: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
