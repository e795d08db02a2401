"""Options that mean the same in every command, one definition each; a command chooses defaults."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from maskstore import InvalidInput
from maskstore.choices import CodecName, PresetName
from supsup.choices import (
    DEFAULT_NET,
    DEFAULT_OUTPUTS,
    DatasetName,
    InitName,
    LabelsName,
    MaskRuleName,
    NetName,
    OptimizerName,
    SamplingName,
    ScheduleName,
    StatisticsName,
    TaskRuleName,
)


def _names(*choices: Any) -> list[str]:
    """Those of ``Literal`` types, and others, each once."""
    return list(dict.fromkeys(name for each in choices for name in get_args(each) or (each,)))


def listed(*choices: Any) -> str:
    """The names of ``Literal`` types, and others, each once, for a line of help: ``a, b or c``."""
    *names, last = _names(*choices)
    return f"{', '.join(names)} or {last}"


def among(*choices: Any) -> Callable[[str], list[str]]:
    """Completes a name that :func:`listed` lists, but forms such as ``torchvision:NAME``."""
    names = [name for name in _names(*choices) if ":" not in name]
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def task_names(context: typer.Context, incomplete: str) -> list[str]:
    """Completes the name of a task of the archive that was typed before; nothing where that cannot
    be read, or is elsewhere: a key that is pressed asks no server."""
    from maskstore import MaskArchive, SupsupError

    # An option that still lacks its value leaves the arguments before it unnamed.
    archive = context.params.get("archive") or next(iter(context.args), "")
    if "://" in archive:
        return []
    try:
        with MaskArchive.open(archive) as opened:
            return [name for name in opened.names() if name.startswith(incomplete)]
    except SupsupError:
        return []


# Archives.
Archive = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="The archive file (*.h5); to read, also a URL (s3://…)."
    ),
]
TaskName = Annotated[
    str, typer.Argument(metavar="TASK", help="Name of the task.", autocompletion=task_names)
]
TaskPattern = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="PATTERN",
        help="Only these tasks: a name, or 'split-*'.",
        autocompletion=task_names,
    ),
]
Codec = Annotated[
    str,
    typer.Option(
        help=f"{listed(PresetName, CodecName)}; auto takes the smallest for each mask.",
        autocompletion=among(PresetName, CodecName),
    ),
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for another writer.")]
NoLock = Annotated[
    bool, typer.Option("--no-lock", help="Write without a lock (file systems that have none).")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a run with these options was stopped.")
]

# Networks.
NetOrArchive = Annotated[
    str | None,
    typer.Option(
        "--net",
        help=f"{listed(NetName, 'torchvision:NAME', 'module:function')}; by default the "
        f"archive's, in a new archive {DEFAULT_NET}.",
        autocompletion=among(NetName, "torchvision:NAME", "module:function"),
    ),
]
Net = Annotated[
    str,
    typer.Option(
        "--net",
        help=f"{listed(NetName, 'torchvision:NAME', 'module:function')}.",
        autocompletion=among(NetName, "torchvision:NAME", "module:function"),
    ),
]
OutputsOrArchive = Annotated[
    int | None,
    typer.Option(
        "--outputs",
        help=f"Outputs of the network; by default {DEFAULT_OUTPUTS} in a new archive.",
    ),
]
Outputs = Annotated[int, typer.Option(help="Outputs of the network.")]
Init = Annotated[
    str | None,
    typer.Option(
        help=f"{listed(InitName)}, by default the first; with scaled- before it, weights are "
        "larger for the share that masks leave out.",
        autocompletion=among(InitName),
    ),
]
FanDensity = Annotated[
    float | None, typer.Option(help="scaled-…: the density of the masks to come (default 0.5).")
]
Statistics = Annotated[
    str | None,
    typer.Option(
        help=f"Of normalisation: {listed(StatisticsName)}; running ones are kept with each task, "
        "so that single images are answered. By default the archive's; in a new archive frozen "
        "where --weights gives any, batch for bn-2048, else running.",
        autocompletion=among(StatisticsName),
    ),
]
PerTask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Parameters that every task has of its own, such as 'head.*' or '*.bias': trained "
        "and kept with its mask; may be repeated. By default the archive's, in a new archive none.",
    ),
]
Maskable = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="The parameters that masks cover, such as '*.adapter.*'; may be repeated. By default "
        "the archive's, in a new archive all of two axes or more.",
    ),
]
SeedOrArchive = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Seed of weights, initial scores, tasks and batches; by default the archive's, "
        "in a new archive 0.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Trained weights of the network: .safetensors, or what torch.save wrote; by default "
        "all are from the seed, or as the archive has them.",
    ),
]
WeightsFor = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="The parameters that --weights gives, such as 'features.*'; may be repeated, by "
        "default all. The others are from the seed.",
    ),
]
EmbedWeights = Annotated[
    bool,
    typer.Option(
        "--embed-weights",
        help="Keep the trained weights inside the archive, so that nobody needs the file.",
    ),
]
TrustedNet = Annotated[
    str | None,
    typer.Option("--net", help="Name the archive's own module:function to trust its code."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")]

# Tasks, their data, their training.
Dataset = Annotated[
    str,
    typer.Option(
        help=f"Rule and data set of the tasks, such as split-mnist: {listed(TaskRuleName)} with "
        f"{listed(DatasetName)} (which can only be split); or of your own images, folder.",
        autocompletion=among(
            *(f"{rule}-{data}" for rule in get_args(TaskRuleName) for data in get_args(DatasetName))
        ),
    ),
]
Tasks = Annotated[int | None, typer.Option(help="How many tasks; by default all that there are.")]
Labels = Annotated[
    str | None,
    typer.Option(
        help=f"split: {listed(LabelsName)}; shared (the default) numbers each task's classes from "
        "0, original keeps the data set's labels, and all its classes compete.",
        autocompletion=among(LabelsName),
    ),
]
Sampling = Annotated[
    str | None,
    typer.Option(
        help=f"rotated: {listed(SamplingName)} pixels; by default the first, in the paper's code "
        "the second.",
        autocompletion=among(SamplingName),
    ),
]
Ways = Annotated[int | None, typer.Option("--ways", help="split: classes in a task.")]
Size = Annotated[
    int | None,
    typer.Option("--size", min=1, help="…-folder: height and width that pictures are scaled to."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Folder of the data files (or SUPSUP_DATA); of own images the folder, .zip or .npz.",
    ),
]
Mask = Annotated[
    str,
    typer.Option(
        help=f"{listed(MaskRuleName)}; gradual is for very sparse masks.",
        autocompletion=among(MaskRuleName),
    ),
]
Density = Annotated[float, typer.Option(help="topk, gradual: share of weights kept.")]
Batch = Annotated[int, typer.Option(help="Images a batch.")]
Optimizer = Annotated[
    str,
    typer.Option(
        help=f"{listed(OptimizerName)}; normed-sgd is for gradual.",
        autocompletion=among(OptimizerName),
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--lr", help="Learning rate at the start; by default the optimizer's."),
]
Schedule = Annotated[
    str,
    typer.Option(
        help=f"{listed(ScheduleName)}.",
        autocompletion=among(ScheduleName),
    ),
]

# What is printed.
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, no notes on stderr.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="PATH", help="Save a plot here.")]


def task_options(**options: str | int | None) -> dict[str, str | int]:
    """Those of a family's tasks that were given."""
    return {name: value for name, value in options.items() if value is not None}


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers from ``0,1,2``; raises InvalidInput that names the option."""
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise InvalidInput(
            f"{option}: expected whole numbers separated by commas, such as 0,1,2, got {text!r}"
        ) from None


def check_plot(plot: Path | None) -> None:
    """Raise before any work where a plot that is asked for could not be saved."""
    if plot is not None:
        from supsup.plots import check_plot

        check_plot(plot)
