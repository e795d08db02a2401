"""The network of an archive: made with it, and regenerated from what it keeps."""

from os import PathLike
from pathlib import Path
from typing import Any

import torch

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput, LayoutMismatch
from maskstore.seeded.scores import ScoreStart
from supsup.inference.ood import EnergyThreshold
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks import TaskRecipe
from supsup.training.config import TrainConfig
from supsup.training.metadata import TaskMetadata


def create_archive(
    path: str | PathLike[str], backbone: Backbone, config: TrainConfig | None = None
) -> MaskArchive:
    """An empty archive for masks of ``backbone``, open for writing.

    Args:
        config: how the tasks will be trained, where that is known: tasks with other settings can be
            added, too, but each of them keeps the differences.

    Raises:
        InvalidInput: the backbone was made from a module and has no recipe.
        ArchiveExists, ArchiveWriteError: as :meth:`MaskArchive.create`.
    """
    if backbone.recipe is None:
        raise InvalidInput(
            "an archive keeps the recipe of its backbone; make it with supsup.build(recipe), "
            "where the recipe's net may be your own module:function"
        )
    return MaskArchive.create(
        Path(path),
        backbone.layout,
        backbone=backbone.recipe.to_json(),
        weights_digest=backbone.digest,
        parameters=backbone.parameter_count,
        metadata_example=_example(config or TrainConfig(steps=1000)),
    )


def _example(config: TrainConfig) -> dict[str, Any]:
    """What ``train`` keeps with a mask; an archive stores only what differs from it."""
    example = TaskMetadata(
        task=TaskRecipe(dataset="mnist", rule="permuted", index=0).to_json(),
        training=config.to_json(),
        scores=ScoreStart(seed=0),
        energy=EnergyThreshold(mean=-10.0, bar=-7.0),
        metrics={"accuracy": 0.95, "loss": 0.15, "density": 0.5, "steps": 1000},
        classes=10,
    ).to_json()
    # Last, as it always was: the order is part of the archive's bytes.
    example["training"] = example.pop("training")
    return example


def backbone_of(
    archive: MaskArchive, *, device: str | torch.device = "cpu", trusted_net: str | None = None
) -> Backbone:
    """Regenerate the network of an archive and compare its digest with the recorded one.

    Args:
        trusted_net: a ``module:function`` that may be imported, if the archive names just that.

    Raises:
        InvalidInput: the archive has no recipe, or names code that is not trusted.
        DigestMismatch: the weights are not those that the masks were trained on.
    """
    if archive.backbone is None and archive.weights_digest is not None:
        raise InvalidInput(
            f"{archive.path}: imported masks alone, without the weights and statistics that they "
            "were trained with; it can be stored, compared and merged, not evaluated or trained"
        )
    if archive.backbone is None or archive.weights_digest is None:
        raise InvalidInput(
            f"{archive.path}: made by hand, without the recipe of a network; "
            "make it with `supsup-store create ARCHIVE --net …` to train or evaluate"
        )
    recipe = BackboneRecipe.from_json(archive.backbone)
    backbone = build(recipe, allow_code=recipe.net == trusted_net)
    backbone.check_digest(archive.weights_digest)
    if backbone.layout != archive.layout:
        raise LayoutMismatch(
            f"{archive.path}: its masks cover {', '.join(archive.layout.shapes)}, "
            f"those of its network {recipe.net} cover {', '.join(backbone.layout.shapes)}"
        )
    return backbone.to(device)


def check_recipe(archive: MaskArchive, wanted: BackboneRecipe) -> None:
    """Raise LayoutMismatch unless the archive was made for ``wanted``."""
    found = archive.backbone or {}
    for key, value in wanted.to_json().items():
        if found.get(key) != value:
            raise LayoutMismatch(
                f"{archive.path}: made for {key} {found.get(key)!r}, asked for {value!r}; "
                "leave the option out to use the archive's network, or name another archive"
            )


def parse_device(name: str) -> torch.device:
    """A torch device that is there.

    Raises:
        InvalidInput: unknown, or not on this machine.
    """
    try:
        device = torch.device(name)
        torch.empty(0, dtype=torch.float32, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"device {name!r} cannot be used here ({reason}); try cpu") from error
    return device
