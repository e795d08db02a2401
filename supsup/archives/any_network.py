"""A network however somebody says which: a name, a recipe, a backbone, or a module."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from supsup.archives.network import backbone_from_module, backbone_of, check_recipe
from supsup.choices import DEFAULT_OUTPUTS
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe

Network = str | BackboneRecipe | Backbone | nn.Module
"""A net that ships here or ``module:function``, a recipe, a backbone, or any module."""


def new_backbone(
    network: Network,
    *,
    outputs: int | None,
    seed: int | None,
    options: Mapping[str, Any],
    statistics: str | None = None,
    per_task: str | Sequence[str] = (),
) -> Backbone:
    """The backbone for a new archive; code that is named is trusted.

    Args:
        outputs, options: of a net that is named.
        seed: of its weights, or of those of a module; by default 0.
        statistics: of its normalisation, or of that of a module.
        per_task: patterns of the parameters that every task has of its own, of either.

    Raises:
        InvalidInput: the network cannot be made or run under masks; or one of these is given with
            a network that has its own.
    """
    if isinstance(network, str):
        named = BackboneRecipe(
            net=network,
            outputs=DEFAULT_OUTPUTS if outputs is None else outputs,
            seed=0 if seed is None else seed,
            options=options,
            statistics=statistics,
            per_task=per_task,
        )
        return build(named, allow_code=True)
    asked = {"outputs": outputs, **options}
    if not isinstance(network, nn.Module):
        asked |= {"seed": seed, "statistics": statistics, "per_task": per_task or None}
    if taken := [name for name, value in asked.items() if value is not None]:
        raise InvalidInput(
            f"{taken[0]}: for a net that is named; this {type(network).__name__} has its own"
        )
    if isinstance(network, nn.Module):
        return Backbone.from_module(
            network,
            seed=0 if seed is None else seed,
            statistics=statistics,
            per_task=per_task,
        )
    return _made(network)


def backbone_for(archive: MaskArchive, network: Network | None) -> Backbone:
    """The network of an archive that is there.

    Args:
        network: None for the archive's own, as far as its code is known here. What is given says
            how to make it, or is it; layout and digest decide whether it is the right one.

    Raises:
        InvalidInput: it cannot be made, or must be named or handed in.
        LayoutMismatch, DigestMismatch: the masks are of another network.
    """
    if isinstance(network, nn.Module):
        return backbone_from_module(archive, network)
    if network is None or isinstance(network, str):
        backbone = backbone_of(archive, trusted_net=network)
        if network is not None and backbone.recipe is not None:
            check_recipe(archive, replace(backbone.recipe, net=network))
        return backbone
    if isinstance(network, BackboneRecipe):
        check_recipe(archive, network)
    return _made(network)


def _made(network: BackboneRecipe | Backbone) -> Backbone:
    if isinstance(network, BackboneRecipe):
        return build(network, allow_code=True)  # whoever hands over the recipe trusts it
    if isinstance(network, Backbone):
        return network
    raise InvalidInput(
        "network: expected a name, a BackboneRecipe, a Backbone or an nn.Module, got "
        f"{type(network).__name__}"
    )
