"""Command that makes a figure of the paper anew: reproduce."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import supsup
from supsup.choices import FigureName
from supsup_store import options
from supsup_store.console import print_json, print_line, print_table
from supsup_store.options import among, listed
from supsup_store.progress import stage_progress


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(reproduce)


def reproduce(
    figure: Annotated[
        str,
        typer.Argument(
            metavar="FIGURE",
            help=f"{listed(FigureName)}.",
            autocompletion=among(FigureName),
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of archives, numbers and plot.")
    ] = Path("supsup-figures"),
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Family of tasks; by default the figure's of MNIST where its files are at hand, "
            "otherwise of the digits in the package."
        ),
    ] = None,
    tasks: Annotated[int | None, typer.Option(help="How many tasks.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps a task.")] = None,
    net: Annotated[str | None, typer.Option(help="The network.")] = None,
    outputs: Annotated[
        str | None, typer.Option(help="Its outputs; for outputs several: 25,100,200.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="Test images a task at most.")] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seed", "--seeds", help="Seed, or several: 0,1,2; the plot is of the mean."),
    ] = None,
    device: options.Device = "cpu",
    data: options.Data = None,
    plot: options.Plot = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train and measure a figure of the paper, smaller than there unless told; numbers and a plot.

    Each option's default is the figure's own; what differs from the paper is said at the end.
    """
    chosen = supsup.figures.find_figure(figure)
    sizes = chosen.sizes_here(
        {
            "dataset": dataset,
            "tasks": tasks,
            "steps": steps,
            "net": net,
            "outputs": None if outputs is None else options.parse_numbers("--outputs", outputs),
            "images": images,
            "seeds": None if seeds is None else options.parse_numbers("--seeds", seeds),
        },
        data,
    )
    place = supsup.archives.parse_device(device)
    with stage_progress(quiet=quiet) as report:
        document = supsup.figures.reproduce(
            chosen,
            sizes,
            supsup.figures.Workspace(folder=out, data_dir=data, device=place, report=report),
            plot=plot,
        )
    if as_json:
        print_json(document)
    else:
        print_figure(chosen, document)


def print_figure(figure: "supsup.figures.PaperFigure", document: Mapping[str, Any]) -> None:
    """The numbers as a table, then what differs from the paper and where the files are."""
    lines = figure.table(document["rows"])
    print_table(list(lines[0]), [list(line.values()) for line in lines], title=figure.title)
    for line in document["differences"]:
        print_line(f"unlike the paper: {line}")
    print_line(f"numbers {document['json']}")
    print_line(f"plot    {document['plot']}")
    print_line(f"done in {document['seconds']:.1f} s")
