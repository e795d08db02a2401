"""Layers of the paper's networks by the names that they have in ours."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.registry import make_module

KEEP_NAMES = "none"
"""What ``--net`` says to keep the checkpoint's own names."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Architecture:
    """How one of our networks is called and built in the paper's code.

    Attributes:
        net: ours.
        layers: pattern of a layer's name there → its name here.
        options: what the checkpoint's shapes say of the net's options, by our layers' names.
        last: our name of the layer whose outputs are the network's.
        affine: our name of a shift that is there where the net has the option ``affine``; None
            where it has no such option.
    """

    net: str
    layers: Mapping[str, str]
    options: Callable[[Mapping[str, Shape]], dict[str, Any]]
    last: str
    affine: str | None = None


def _mlp_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    return {
        "inputs": shapes["fc1"][1],
        "hidden": [shapes[f"fc{at}"][0] for at in range(1, len(shapes))],
    }


_MLP = {r"linear\.0": "fc1", r"linear\.2": "fc2", r"linear\.4": "fc3"}
_ARCHITECTURES = {
    "LeNet": _Architecture(net="lenet-300-100", layers=_MLP, options=_mlp_options, last="fc3"),
    "FC1024": _Architecture(net="fc-1024-1024", layers=_MLP, options=_mlp_options, last="fc3"),
    "BNNet": _Architecture(
        net="bn-2048",
        layers={
            r"linear\.0": "fc1",
            r"linear\.1": "bn1",
            r"linear\.3": "fc2",
            r"linear\.4": "bn2",
            r"linear\.6": "fc3",
        },
        options=lambda shapes: {"inputs": shapes["fc1"][1], "width": shapes["fc1"][0]},
        last="fc3",
    ),
    "GEMResNet18": _Architecture(
        net="resnet18",
        layers={
            r"(.+)\.shortcut\.0": r"\1.downsample",
            r"(.+)\.shortcut\.1": r"\1.downsample_bn",
            "linear": "fc",
        },
        options=lambda shapes: {"width": shapes["conv1"][0]},
        last="fc",
        affine="bn1.bias",
    ),
    "ResNet50": _Architecture(
        net="resnet50",
        layers={
            r"(.+)\.downsample\.0": r"\1.downsample",
            r"(.+)\.downsample\.1": r"\1.downsample_bn",
        },
        options=lambda shapes: {"width": shapes["conv1"][0]},
        last="fc",
        affine="bn1.bias",
    ),
}
"""By ``--model`` of the paper's code (``models/small.py``, ``gemresnet.py``, ``resnet.py``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLayers:
    """The layers of a checkpoint by the names of a network here.

    Attributes:
        recipe: of the network, its weights aside; None where the checkpoint's names are kept.
        parameters: layer's name there → its parameter here and that one's shape.
        shapes: every parameter of the network → its shape, in the network's order.
    """

    recipe: BackboneRecipe | None
    parameters: Mapping[str, tuple[str, Shape]]
    shapes: Mapping[str, Shape]


def name_layers(
    scores: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    *,
    arch: str | None,
    net: str | None,
    outputs: int | None,
) -> NamedLayers:
    """Find the network of a checkpoint, and each of its masked layers in it.

    Args:
        scores: layer → scores of one task.
        weights: the other tensors, by name.
        arch: the network's name in the paper's code, as the checkpoint says.
        net: the user's choice: a net that ships here, ``module:function`` (which is imported and
            called), or ``none`` to keep the checkpoint's names, as without ``arch``.
        outputs: of the network; by default those of its last layer.

    Raises:
        InvalidInput: the network has no such layer, or one of another shape.
    """
    found = {
        name.removesuffix(".weight"): tuple(tensor.shape)
        for name, tensor in weights.items()
        if name.endswith(".weight")
    }
    found |= {layer: tuple(tensor.shape) for layer, tensor in scores.items()}
    known = _architecture(arch, net)
    if known is None and net in (None, KEEP_NAMES):
        named = {layer: (f"{layer}.weight", found[layer]) for layer in scores}
        return NamedLayers(recipe=None, parameters=named, shapes=dict(named.values()))
    if known is not None:
        # Layers of that name are called alike there.
        affine = known.affine is not None and known.affine in weights
        recipe = _recipe(known, found, outputs, {"affine": True} if affine else {})
    else:
        recipe = BackboneRecipe(net=str(net), outputs=_outputs(found, outputs), statistics="batch")
    shapes = _parameters(recipe)
    parameters: dict[str, tuple[str, Shape]] = {}
    for layer in scores:
        ours = f"{_renamed(known, layer)}.weight"
        expected = shapes.get(ours)
        # Fully connected layers of the paper's code are 1×1 convolutions.
        if expected is None or found[layer] not in (expected, (*expected, 1, 1)):
            raise InvalidInput(
                f"checkpoint layer {layer!r} of shape {found[layer]}: the network {recipe.net} "
                + (f"has no {ours!r}" if expected is None else f"has {ours!r} of {expected}")
                + f"; name the network with --net, or keep its names with --net {KEEP_NAMES}"
            )
        parameters[layer] = (ours, expected)
    return NamedLayers(recipe=recipe, parameters=parameters, shapes=shapes)


def named_weights(named: NamedLayers, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The checkpoint's weights by our names and in our order and shapes, those that are there.

    A neuron's scale that the paper's network does not have, normalisation without one, is 1.
    """
    if named.recipe is None:
        return dict(weights)
    theirs = in_our_names(named, weights)
    known = _architecture(None, named.recipe.net)
    scaled = known is None or known.affine is not None
    result: dict[str, Tensor] = {}
    for ours, shape in named.shapes.items():
        if ours in theirs and tuple(theirs[ours].shape) in (shape, (*shape, 1, 1)):
            result[ours] = theirs[ours].reshape(shape)
        elif not scaled and ours not in theirs and len(shape) == 1:
            result[ours] = torch.ones(shape, dtype=torch.float32, device="cpu")
    return result


def in_our_names(named: NamedLayers, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the checkpoint, as they are, by the names of their network here."""
    known = None if named.recipe is None else _architecture(None, named.recipe.net)
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{_renamed(known, layer)}.{kind}"] = tensor
    return renamed


def _architecture(arch: str | None, net: str | None) -> _Architecture | None:
    if net is None:
        return _ARCHITECTURES.get(arch or "")
    return next((each for each in _ARCHITECTURES.values() if each.net == net), None)


def _renamed(known: _Architecture | None, layer: str) -> str:
    for pattern, ours in ({} if known is None else known.layers).items():
        match = re.fullmatch(pattern, layer)
        if match is not None:
            return match.expand(ours)
    return layer


def _recipe(
    known: _Architecture,
    found: Mapping[str, Shape],
    outputs: int | None,
    affine: dict[str, bool],
) -> BackboneRecipe:
    shapes = {_renamed(known, layer): shape for layer, shape in found.items()}
    try:
        options = known.options({name: shape for name, shape in shapes.items() if len(shape) > 1})
        return BackboneRecipe(
            net=known.net,
            outputs=outputs or shapes[known.last][0],
            options={**options, **affine},
            statistics="batch",
        )
    except (KeyError, IndexError):
        raise InvalidInput(
            f"checkpoint layers {', '.join(found)}: not those of {known.net}; name the network "
            f"with --net, or keep their names with --net {KEEP_NAMES}"
        ) from None


def _outputs(found: Mapping[str, Shape], outputs: int | None) -> int:
    if outputs is not None:
        return outputs
    return [shape for shape in found.values() if len(shape) > 1][-1][0]


def _parameters(recipe: BackboneRecipe) -> dict[str, Shape]:
    module: nn.Module
    if ":" in recipe.net:
        module = make_module(recipe, allow_code=True)
    else:
        with torch.device("meta"):  # its shapes are all that is wanted
            module = make_module(recipe, allow_code=False)
    return {name: tuple(w.shape) for name, w in module.named_parameters()}
