"""The network of an archive: made with it, and regenerated from what it keeps."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskstore.access import require_archive
from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput, LayoutMismatch
from maskstore.seeded.scores import ScoreStart
from maskstore.stats import WEIGHTS_SET
from supsup.archives.weights import embedded_weights, weights_to_embed
from supsup.inference.ood import EnergyThreshold
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import INITS, OMITTED, BackboneRecipe
from supsup.networks.weights_file import ALL, WeightsFile
from supsup.tasks import TaskRecipe
from supsup.training.config import TrainConfig
from supsup.training.metadata import TaskMetadata


def create_archive(
    path: str | PathLike[str],
    backbone: Backbone,
    config: TrainConfig | None = None,
    *,
    embed: bool = False,
) -> MaskArchive:
    """An empty archive for masks of ``backbone``, open for writing.

    It keeps the recipe, which makes the network again. A module that was handed in has none: of it
    is kept where its numbers come from, with ``net`` null, and whoever opens the archive hands the
    module over again (:func:`backbone_from_module`).

    Args:
        config: how the tasks will be trained, where that is known: tasks with other settings can be
            added, too, but each of them keeps the differences.
        embed: whether trained weights are put into the archive
            (:func:`supsup.archives.weights.embed_weights`).

    Raises:
        InvalidInput: nothing says where the backbone's numbers come from, or all are from a seed
            and there is nothing to embed.
        ArchiveExists, ArchiveWriteError: as :meth:`MaskArchive.create`.

    >>> backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=0))
    >>> with create_archive("new.h5", backbone) as archive:
    ...     len(archive), archive.backbone["net"]
    (0, 'lenet-300-100')
    """
    stored = weights_to_embed(backbone) if embed else {}
    made = MaskArchive.create(
        Path(path),
        backbone.layout,
        backbone=_recipe_json(backbone),
        weights_digest=backbone.digest,
        parameters=backbone.parameter_count,
        metadata_example=_example(config or TrainConfig(steps=1000)),
    )
    try:
        made.set_shared_tensors(WEIGHTS_SET, stored)
    except BaseException:
        made.close()
        Path(path).unlink(missing_ok=True)
        raise
    return made


def _recipe_json(backbone: Backbone) -> dict[str, Any]:
    if backbone.recipe is not None:
        return backbone.recipe.to_json()
    if backbone.drawn is None:
        raise InvalidInput(
            "an archive keeps where the numbers of its backbone come from, and nothing says so of "
            "this one; make it with supsup.build(recipe), whose weights may be a file, "
            "Backbone.from_module(module, seed=…) or Backbone.pretrained(module)"
        )
    maskable = list(backbone.layout.shapes)
    size = sum(each.numel() * each.element_size() for each in backbone.trained_values().values())
    from_where = backbone.drawn.to_json(size)
    recipe = {"net": None, "outputs": None, "maskable": maskable, "options": {}} | from_where
    own = {"statistics": backbone.statistics, "per_task": list(backbone.per_task)}
    return recipe | {key: value for key, value in own.items() if value != OMITTED[key]}


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
    archive: MaskArchive,
    *,
    device: str | torch.device = "cpu",
    trusted_net: str | None = None,
    weights: str | PathLike[str] | None = None,
) -> Backbone:
    """Regenerate the network of an archive and compare its digest with the recorded one.

    Args:
        trusted_net: a ``module:function`` that may be imported, if the archive names just that.
        weights: the file of its trained weights, or another one with the same values; None looks
            for the archive's own: in the archive, beside it, and elsewhere
            (:meth:`supsup.networks.weights_file.WeightsFile.found`).

    Raises:
        InvalidInput: the archive has no recipe, or names code that is not trusted; or its weights
            file is not found.
        DigestMismatch: the weights are not those that the masks were trained on.

    >>> backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=0))
    >>> with create_archive("known.h5", backbone) as archive:
    ...     backbone_of(archive).digest == backbone.digest
    True
    """
    require_archive(archive)
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
    require_net(archive)
    recipe = BackboneRecipe.from_json(archive.backbone)
    if weights is not None:
        recipe = with_weights(recipe, weights)
    backbone = build(
        recipe,
        allow_code=recipe.net == trusted_net,
        values=embedded_weights(archive) if weights is None else None,
        beside=[Path(archive.path).parent],
    )
    if weights is not None:
        backbone.check_archive(archive)
    backbone.check_digest(archive.weights_digest)
    if backbone.layout != archive.layout:
        raise LayoutMismatch(
            f"{archive.path}: its masks cover {', '.join(archive.layout.shapes)}, "
            f"those of its network {recipe.net} cover {', '.join(backbone.layout.shapes)}"
        )
    return backbone.to(device)


def require_net(archive: MaskArchive) -> None:
    """Raise InvalidInput where the network is a module that somebody must hand over."""
    if archive.backbone is not None and archive.backbone.get("net", "") is None:
        raise InvalidInput(
            f"{archive.path}: made for a module that was handed in, which nothing here makes "
            "again; hand it over in Python, SupSup.open(path, network=module)"
        )


def backbone_from_module(
    archive: MaskArchive, module: nn.Module, *, device: str | torch.device = "cpu"
) -> Backbone:
    """The network of an archive from a module of its architecture.

    The module's own weights matter only where masks were trained over those of a module that was
    handed in, and they are not inside the archive.

    Raises:
        LayoutMismatch: the module does not have the parameters that the masks cover.
        DigestMismatch: its numbers are not those of the masks.
        InvalidInput: the archive keeps no seed, the module cannot be run under masks, or the
            weights file is not found.
    """
    kept = archive.backbone
    if kept is None:
        raise InvalidInput(
            f"{archive.path}: keeps no seed of a network, from which the weights of a module would "
            "come; hand over a backbone, Backbone.from_module(module, seed=…)"
        )
    how = {
        "seed": kept.get("seed", 0),
        "init": kept.get("init", INITS[0]),
        "fan_density": kept.get("fan_density", 0.5),
        "statistics": kept.get("statistics", "batch"),
        "per_task": kept.get("per_task", ()),
    }
    if (trained := kept.get("weights")) is None:
        made = Backbone.from_module(module, **how)
    else:
        weights = embedded_weights(archive) or _file_of(archive, trained)
        patterns = trained.get("parameters", ALL)
        made = Backbone.pretrained(module, weights=weights, parameters=patterns, **how)
    shapes = {name: tuple(weight.shape) for name, weight in made.module.named_parameters()}
    for name, shape in archive.layout.shapes.items():
        if shapes.get(name) != shape:
            raise LayoutMismatch(
                f"{archive.path}: its masks cover {name!r} of shape {shape}, the module "
                f"{type(module).__name__} has {shapes.get(name, 'no such parameter')}; hand over "
                "the module that the archive was made for"
            )
    backbone = Backbone(
        made.module,
        None,
        tuple(archive.layout.shapes),
        made.notes,
        made.trained,
        made.statistics,
        made.per_task,
    )
    backbone.drawn = made.drawn
    backbone.check_archive(archive)
    return backbone.to(device)


def _file_of(archive: MaskArchive, trained: Mapping[str, Any]) -> Path | None:
    """The weights file that an archive names; None where it names none."""
    if "sha256" not in trained:
        return None
    return WeightsFile.from_json(trained).found([Path(archive.path).parent]).path


def with_weights(recipe: BackboneRecipe, weights: str | PathLike[str]) -> BackboneRecipe:
    """A recipe whose trained weights are those of another file, for the same parameters.

    Raises:
        InvalidInput: there is no such file, or the recipe has no trained weights.
    """
    if recipe.weights_file is None:
        raise InvalidInput(
            f"weights {weights}: all weights of {recipe.net} are from its seed; leave the file out"
        )
    file = WeightsFile.of(weights, parameters=recipe.weights_file.parameters)
    return replace(recipe, weights=file)


def check_recipe(archive: MaskArchive, wanted: BackboneRecipe) -> None:
    """Raise LayoutMismatch unless the archive was made for ``wanted``."""
    found = {**OMITTED, **(archive.backbone or {})}
    asked = OMITTED | wanted.to_json()
    if wanted.statistics is None:
        del asked["statistics"]
    # The digest of the weights will say whether two files have the same ones.
    kept, own = found.get("weights") or {}, asked.pop("weights", None) or {}
    asked["weights of parameters"] = own.get("parameters")
    found = found | {"weights of parameters": kept.get("parameters")}
    for key, value in asked.items():
        if found.get(key) != value:
            raise LayoutMismatch(
                f"{archive.path}: made for {key} {found.get(key)!r}, asked for {value!r}; "
                "take the archive's network, or another path"
            )


def parse_device(name: str) -> torch.device:
    """A torch device that is there.

    Raises:
        InvalidInput: unknown, or not on this machine.
    """
    try:
        device = torch.device(name)
    except RuntimeError:  # its own message lists every kind that there ever was
        raise InvalidInput(
            f"device {name!r} cannot be used here: expected cpu, cuda, cuda:1, … or mps"
        ) from None
    try:
        torch.empty(0, dtype=torch.float32, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"device {name!r} cannot be used here ({reason}); try cpu") from error
    return device
