"""The command line's reference, made from the app itself: it says what the app says."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

MARK = "<!-- commands -->"


class Parameter(NamedTuple):
    """An argument or an option of a command, as its function declares it."""

    name: str
    names: tuple[str, ...]
    info: ArgumentInfo | OptionInfo
    kind: Any
    default: Any


def commands() -> dict[str, Callable[..., None]]:
    """The functions behind all commands of the app, by the commands' names."""
    from supsup_store.app import app

    found = {
        each.name or each.callback.__name__.replace("_", "-"): each.callback
        for each in app.registered_commands
        if each.callback is not None
    }
    return dict(sorted(found.items()))


def parameters(command: Callable[..., None]) -> list[Parameter]:
    """What a command takes, in order; typer's own context is no user's to give."""
    hints = get_type_hints(command, include_extras=True)
    found = []
    for name, each in inspect.signature(command).parameters.items():
        if hints[name] is typer.Context:
            continue
        kind, info = get_args(hints[name])[:2]
        # Within Annotated, typer has the first of the names where a default would be.
        said = (info.default, *(info.param_decls or ()))
        names = tuple(each for each in said if isinstance(each, str) and each.startswith("-"))
        names = names or (f"--{name.replace('_', '-')}",)
        found.append(Parameter(name, names, info, kind, each.default))
    return found


def commands_markdown() -> str:
    """A section for every command of the app: what it does, its usage, arguments and options."""
    return "\n".join(_section(name, command) for name, command in commands().items())


def _section(name: str, command: Callable[..., None]) -> str:
    taken = parameters(command)
    arguments = [each for each in taken if isinstance(each.info, ArgumentInfo)]
    options = [each for each in taken if isinstance(each.info, OptionInfo)]
    usage = " ".join(["supsup-store", name, *map(_argument, arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", _plain(inspect.cleandoc(command.__doc__ or "")), ""]
    lines += ["```text", usage, "```", ""]
    if arguments:
        lines += ["| argument | what it is |", "|---|---|"]
        lines += [f"| `{_argument(each)}` | {_cell(each.info.help)} |" for each in arguments]
        lines += [""]
    lines += ["| option | default | what it does |", "|---|---|---|"]
    lines += [
        f"| {_option(each)} | {_default(each)} | {_cell(each.info.help)} |" for each in options
    ]
    return "\n".join([*lines, ""])


def _argument(argument: Parameter) -> str:
    several = "…" if getattr(argument.kind, "__origin__", None) is list else ""
    name = (argument.info.metavar or argument.name.upper()).strip("[]") + several
    return name if argument.default is inspect.Parameter.empty else f"[{name}]"


def _option(option: Parameter) -> str:
    kinds = [kind for kind in get_args(option.kind) or (option.kind,) if kind is not type(None)]
    words = {int: "INTEGER", float: "NUMBER", bool: "", Path: "PATH"}
    value = option.info.metavar or words.get(kinds[0], "TEXT")
    return f"`{', '.join(option.names)}{' ' * bool(value)}{value}`"


def _default(option: Parameter) -> str:
    if option.default is inspect.Parameter.empty:
        return "required"
    unsaid = option.default is None or option.default is False
    return "" if unsaid else f"`{_cell(option.default)}`"


def _cell(text: Any) -> str:
    return _plain(" ".join(str("" if text is None else text).split()).replace("|", r"\|"))


def _plain(text: str) -> str:
    return text.replace("[", r"\[").replace("<", r"\<").replace("*", r"\*")


def _fill(app: Any, page: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, commands_markdown())


def setup(app: Any) -> dict[str, bool]:
    """Fill the page that has the mark."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
