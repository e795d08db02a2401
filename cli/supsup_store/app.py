"""The typer app: all commands."""

import typer

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
