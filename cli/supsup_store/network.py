"""Which network an archive is for: the options that say it, and the command create."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskstore import InvalidInput, MaskArchive, MaskLayout
from supsup_store import options
from supsup_store.console import print_json

# torch takes seconds to import: commands that do not need it must not wait for it, so the
# functions below import supsup when they run.
if TYPE_CHECKING:
    from supsup import BackboneRecipe

DEFAULT_NET = "lenet-300-100"
DEFAULT_OUTPUTS = 100

NetOrArchive = Annotated[
    str | None,
    typer.Option(
        "--net",
        help="lenet-300-100, fc-1024-1024, bn-2048, resnet18, resnet50 or module:function; by "
        f"default the archive's, in a new archive {DEFAULT_NET}.",
    ),
]
Outputs = Annotated[
    int | None,
    typer.Option(help=f"Outputs of the network; by default {DEFAULT_OUTPUTS} in a new archive."),
]
Init = Annotated[
    str | None,
    typer.Option(
        help="signed-constant (the default) or kaiming-normal; with scaled- before it, weights "
        "are larger for the share that masks leave out."
    ),
]
FanDensity = Annotated[
    float | None, typer.Option(help="scaled-…: the density of the masks to come (default 0.5).")
]
SeedOrArchive = Annotated[
    int | None,
    typer.Option(
        help="Seed of weights, initial scores, tasks and batches; by default the archive's, "
        "in a new archive 0."
    ),
]


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(create)


def create(
    archive: options.Archive,
    net: NetOrArchive = None,
    outputs: Outputs = None,
    seed: SeedOrArchive = None,
    init: Init = None,
    fan_density: FanDensity = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Without a network: take the layers of this mask file (.npz, …)."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make an empty archive for a network, or for masks like those of a file."""
    if like is not None:
        if any(option is not None for option in (net, outputs, seed, init, fan_density)):
            raise typer.BadParameter("--like goes without options of a network")
        from maskstore.interchange import layout_of

        made = MaskArchive.create(archive, layout_of(like))
    else:
        from supsup import build
        from supsup.archives import create_archive

        recipe = recipe_of(None, net, outputs, seed, init, fan_density)
        made = create_archive(archive, build(recipe, allow_code=recipe.net == net))
    with made:
        _report_new(made.path, made.layout, made.weights_digest, as_json)


def recipe_of(
    archive: MaskArchive | None,
    net: str | None,
    outputs: int | None,
    seed: int | None,
    init: str | None = None,
    fan_density: float | None = None,
) -> "BackboneRecipe":
    """The recipe that the options ask for; what they leave out is the archive's, or the default."""
    from supsup import BackboneRecipe

    asked = {
        "net": net,
        "outputs": outputs,
        "seed": seed,
        "init": init,
        "fan_density": fan_density,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    if archive is not None:
        if archive.backbone is None:
            raise InvalidInput(f"{archive.path}: made by hand, without a network; nothing to train")
        return BackboneRecipe.from_json(archive.backbone | given)
    return BackboneRecipe.from_json({"net": DEFAULT_NET, "outputs": DEFAULT_OUTPUTS} | given)


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
        typer.echo(f"made {path} for masks of {layout.bits:,} bits in {len(layout.shapes)} layers")
