"""The typer app: all commands."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from supsup_store import (
    archive_commands,
    command_help,
    demo,
    hopfield,
    inference,
    models,
    network,
    nns,
    queries,
    report,
    reproduce,
    training,
)
from supsup_store.console import print_line

WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]
"""Anything that is typed wrongly; where the class lies changed with typer's versions."""

app = typer.Typer(
    name="supsup-store",
    help="Thousands of tasks on one frozen random network, one compressed mask each.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def versions() -> str:
    """What runs here, for a report of a bug. Nothing is imported to find out: torch is slow."""
    found = [f"python {platform.python_version()}"]
    for package in ("torch", "numpy", "h5py"):
        found.append(f"{package} {_version(package)}")
    return f"supsup-store {_version('supsup-store')} ({', '.join(found)})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder that pip does not know
        return "of no installed package"


def _print_versions(wanted: bool) -> None:
    if wanted:
        print_line(versions())
        raise typer.Exit


@app.callback()
def _options(
    show: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_versions,
            is_eager=True,
            help="Print the versions of this package and of what it runs on.",
        ),
    ] = False,
) -> None:
    pass


demo.register(app)
network.register(app)
training.register(app)
inference.register(app)
models.register(app)
hopfield.register(app)
nns.register(app)
reproduce.register(app)
queries.register(app)
report.register(app)
archive_commands.register(app)
command_help.describe(app)


def explain(error: Exception) -> str:
    """What is wrong, what was found, and where help is.

    Args:
        error: of the class :data:`WrongUsage`.
    """
    context = getattr(error, "ctx", None)
    command = "supsup-store" if context is None else context.command_path
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is all of --help
        message = "No command"
    else:
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    return f"{message}{_found(error)}; see `{command} --help`"


def _found(error: Exception) -> str:
    """The value that could not be parsed, which newer versions of typer do not say."""
    errors = getattr(error.__context__, "errors", None)
    return f", got {errors()[0]['input']!r}" if callable(errors) else ""
