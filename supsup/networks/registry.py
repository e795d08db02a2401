"""The networks that ship here, and how a recipe's ``net`` is turned into a module."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from maskstore.errors import InvalidInput
from maskstore.registry import did_you_mean
from supsup.networks.bn import BatchNormNet
from supsup.networks.mlp import Mlp
from supsup.networks.named_code import TORCHVISION, maker_of
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.resnet import BasicBlock, Bottleneck, ResNet
from supsup.networks.statistics import set_statistics
from supsup.networks.weights_file import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """One entry of the registry.

    Attributes:
        make: called with ``outputs`` and the recipe's options.
        maskable: parameters that masks cover; None for every parameter of two or more axes.
        statistics: of its normalisation where nobody says.
    """

    make: Callable[..., nn.Module]
    maskable: tuple[str, ...] | None = None
    statistics: str = "batch"


NETS: Mapping[str, Net] = {
    "lenet-300-100": Net(make=partial(Mlp, hidden=(300, 100))),
    "fc-1024-1024": Net(make=partial(Mlp, hidden=(1024, 1024))),
    "bn-2048": Net(make=partial(BatchNormNet, width=2048), maskable=("bn1.weight", "bn2.weight")),
    # 20 channels: the narrow variant of Lopez-Paz and Ranzato (2017) that the paper takes.
    "resnet18": Net(
        make=partial(ResNet, block=BasicBlock, blocks=(2, 2, 2, 2), width=20, stem="small"),
        statistics="running",
    ),
    "resnet50": Net(
        make=partial(ResNet, block=Bottleneck, blocks=(3, 4, 6, 3), width=64, stem="large"),
        statistics="running",
    ),
}


FLAT_NETS = ("lenet-300-100", "fc-1024-1024", "bn-2048")
"""Those that take an image as a row of ``inputs`` numbers."""


def make_module(recipe: BackboneRecipe, *, allow_code: bool) -> nn.Module:
    """The module of a recipe, its weights not yet drawn.

    One that ships here has the recipe's statistics; a user's is as its function makes it.

    Args:
        allow_code: whether ``module:function`` may be imported and called. A recipe read from a
            file must not run code that its reader did not name.

    Raises:
        InvalidInput: the net is unknown, cannot be imported, or does not take the options.
    """
    make: Callable[..., Any]
    if recipe.net in NETS:
        make = NETS[recipe.net].make
    elif ":" not in recipe.net:
        known = ", ".join(NETS)
        raise InvalidInput(
            f"net {recipe.net!r}: expected one of {known}, module:function or torchvision:NAME"
            + did_you_mean(recipe.net, NETS)
        )
    elif not allow_code and not recipe.net.startswith(TORCHVISION):
        raise InvalidInput(
            f"net {recipe.net!r} is code from outside this package; if you trust it, "
            f"name it yourself (--net {recipe.net}, in Python build(recipe, allow_code=True))"
        )
    else:
        make = maker_of(recipe.net)
    try:
        module = make(outputs=recipe.outputs, **recipe.options)
    except TypeError as error:
        given = {"outputs": recipe.outputs, **recipe.options}
        asked = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise InvalidInput(
            f"net {recipe.net!r}: does not take what it is called with: ({asked}) ({error})"
        ) from error
    if not isinstance(module, nn.Module):
        raise InvalidInput(
            f"net {recipe.net!r}: expected an nn.Module from it, got {type(module).__name__}"
        )
    if recipe.net in NETS:
        set_statistics(module, recipe.statistics or NETS[recipe.net].statistics)
    return module


def default_maskable(recipe: BackboneRecipe) -> tuple[str, ...] | None:
    """The parameters that masks cover: the recipe's choice, else the net's, else None."""
    if recipe.maskable is not None:
        return tuple(recipe.maskable)
    names = NETS[recipe.net].maskable if recipe.net in NETS else None
    if names is None or not recipe.per_task:
        return names
    return tuple(name for name in names if not matches(name, recipe.per_task))
