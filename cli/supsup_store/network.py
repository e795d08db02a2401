"""Command that makes an archive: create."""

from pathlib import Path
from typing import Annotated

import typer

import supsup
from maskstore import MaskArchive, MaskLayout
from maskstore.interchange import layout_of
from maskstore.maintenance import create_like
from supsup_store import options
from supsup_store.console import counted, print_json, print_line


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(create)


def create(
    archive: options.Archive,
    net: options.NetOrArchive = None,
    outputs: options.OutputsOrArchive = None,
    seed: options.SeedOrArchive = None,
    init: options.Init = None,
    fan_density: options.FanDensity = None,
    weights: options.Weights = None,
    weights_for: options.WeightsFor = None,
    embed_weights: options.EmbedWeights = False,
    statistics: options.Statistics = None,
    maskable: options.Maskable = None,
    per_task: options.PerTask = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="Take the network of this archive (*.h5); or, without one, the layers of a mask "
            "file (.npz, …)."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make an empty archive for a network, or like another archive or mask file."""
    if like is not None:
        options_of_net = (
            net,
            outputs,
            seed,
            init,
            fan_density,
            weights,
            statistics,
            per_task,
            maskable,
        )
        if any(option is not None for option in options_of_net):
            raise typer.BadParameter("--like goes without options of a network")
        if like.suffix == ".h5":
            with MaskArchive.open(like) as source:
                create_like(source, archive)
            made = MaskArchive.open(archive)
        else:
            made = MaskArchive.create(archive, layout_of(like))
    else:
        network = supsup.archives.NetworkOptions(
            net=net,
            outputs=outputs,
            seed=seed,
            init=init,
            fan_density=fan_density,
            weights=weights,
            weights_for=tuple(weights_for or ()),
            statistics=statistics,
            per_task=tuple(per_task) if per_task else None,
            maskable=tuple(maskable) if maskable else None,
        )
        made = supsup.archives.create_archive(archive, network.build(), embed=embed_weights)
    with made:
        _report_new(made.path, made.layout, made.weights_digest, as_json)


def _report_new(path: str | Path, layout: MaskLayout, digest: str | None, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "archive": str(path),
                "bits": layout.bits,
                "layout": layout.to_json(),
                "weights_digest": digest,
            }
        )
    else:
        print_line(
            f"made {path} for masks of {counted(layout.bits, 'bit')} in "
            f"{counted(len(layout.shapes), 'layer')}"
        )
