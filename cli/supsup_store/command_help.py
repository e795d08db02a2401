"""What ``--help`` says beside a command's own text, and what Ctrl-C says: a row for each command.

A test proves that every command has one, and that every example is what the command takes.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

_MAKE = "Make and train"
_USE = "Evaluate and infer"
_KEEP = "Look into an archive"
_CHANGE = "Change and keep an archive"
_MEMORY = "Hopfield memory"
_PAPER = "The paper"

_UNCHANGED = "nothing was changed; run the same command to begin again"
_NO_FILE = "no file was made; run the same command to begin again"
_WHOLE = "the archive is valid, with the change or without it; `supsup-store list` shows which"
_GOES_ON = "what was trained is kept; run the same command to go on from there"


class Stopped(Exception):
    """Ctrl-C stopped a command; what is kept, and how to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHelp:
    """A command in its group.

    Attributes:
        group: the heading that ``--help`` lists it under.
        example: arguments behind the command's name.
        stopped: what Ctrl-C leaves; and, behind a semicolon, how to go on.
    """

    group: str
    example: str
    stopped: str


def _row(group: str, example: str, stopped: str) -> CommandHelp:
    return CommandHelp(group=group, example=example, stopped=stopped)


COMMANDS: dict[str, CommandHelp] = {
    "demo": _row(_MAKE, "--out supsup-demo", _GOES_ON),
    "create": _row(_MAKE, "masks.h5 --net lenet-300-100 --outputs 10", _NO_FILE),
    "train": _row(
        _MAKE,
        "rotated.h5 --dataset rotated-mnist-sample --tasks 3 --steps 20",
        "the masks that are in the archive are kept; the same command with --resume goes on",
    ),
    "learn": _row(
        _MAKE,
        "stream.h5 --dataset permuted-mnist-sample --tasks 2",
        "what was learnt by the last mask is kept; the same command with --resume goes on",
    ),
    "import": _row(_MAKE, "masks.h5 final.pt --name paper", _NO_FILE),
    "eval": _row(_USE, "rotated.h5 --scenario GNu --method exhaustive --mode batch", _UNCHANGED),
    "infer": _row(_USE, "rotated.h5 --data digits.npy", _UNCHANGED),
    "prototypes": _row(
        _USE,
        "rotated.h5",
        "what was measured is kept; run the same command to go on from there",
    ),
    "export": _row(_USE, "rotated.h5 rotated-mnist/1 --out dense.safetensors", _NO_FILE),
    "list": _row(_KEEP, "rotated.h5 'rotated-*' --sort bytes", _UNCHANGED),
    "diff": _row(_KEEP, "rotated.h5 rotated-mnist/0 rotated-mnist/1", _UNCHANGED),
    "overlap": _row(_KEEP, "rotated.h5 --per-layer --plot overlap.png", _UNCHANGED),
    "show": _row(_KEEP, "rotated.h5 rotated-mnist/1", _UNCHANGED),
    "get": _row(_KEEP, "rotated.h5 rotated-mnist/1 --out mask.npz", _NO_FILE),
    "stats": _row(_KEEP, "rotated.h5 --per-layer --plot bytes.png", _UNCHANGED),
    "report": _row(_KEEP, "rotated.h5 --out report.html", _NO_FILE),
    "verify": _row(_KEEP, "rotated.h5 --deep", _UNCHANGED),
    "add": _row(_CHANGE, "masks.h5 by-hand mask.npz", _WHOLE),
    "rename": _row(_CHANGE, "masks.h5 by-hand made-by-hand", _WHOLE),
    "remove": _row(_CHANGE, "masks.h5 by-hand", _WHOLE),
    "copy": _row(_CHANGE, "rotated.h5 'rotated-mnist/*' other.h5", _WHOLE),
    "merge": _row(_CHANGE, "one.h5 two.h5 --out all.h5", _NO_FILE),
    "repair": _row(_CHANGE, "damaged.h5 --out repaired.h5", _NO_FILE),
    "compact": _row(
        _CHANGE,
        "all.h5 --codec history",
        "the archive is as it was; run the same command to begin again",
    ),
    "encode": _row(_MEMORY, "split.h5 --out memory.h5", _NO_FILE),
    "recover": _row(
        _MEMORY,
        "memory.h5 --dataset split-mnist-sample --task split-mnist/1 --plot recovery.png",
        _UNCHANGED,
    ),
    "compare": _row(
        _MEMORY, "--dataset split-mnist-sample --tasks 2 --steps 20 --out compared", _GOES_ON
    ),
    "reproduce": _row(_PAPER, "hopfield --tasks 2 --steps 20 --out figures", _GOES_ON),
}


def describe(app: typer.Typer) -> None:
    """Give every command of the app its group, its example, and its words on Ctrl-C."""
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        row = COMMANDS[name]
        command.rich_help_panel = row.group
        command.epilog = f"Example: supsup-store {name} {row.example}"
        command.callback = _stoppable(command.callback, row.stopped)


def _stoppable(run: Callable[..., Any], stopped: str) -> Callable[..., Any]:
    """The command, which raises Stopped on Ctrl-C, with what is kept."""

    @functools.wraps(run)
    def command(*arguments: Any, **options: Any) -> Any:
        try:
            return run(*arguments, **options)
        except KeyboardInterrupt as stop:
            # Training knows better than the table how far it has come, but not how to go on.
            kept, _, how = stopped.partition("; ")
            raise Stopped(f"{str(stop) or f'stopped: {kept}'}; {how}") from None

    return command
