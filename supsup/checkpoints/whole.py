"""The network of a checkpoint, where all its numbers are among the checkpoint's weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.checkpoints.names import NamedLayers
from supsup.checkpoints.scores import CheckpointScores
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.registry import NETS
from supsup.networks.weights_file import WeightsFile


def whole_network(
    checkpoint: Path,
    found: CheckpointScores,
    named: NamedLayers,
    weights: Mapping[str, Tensor],
    layout: MaskLayout,
) -> Backbone | None:
    """A network of ours with the checkpoint's weights, which answers as the checkpoint's code does.

    None where that is not certain: the network is none that ships here, has a parameter that the
    checkpoint lacks, or lacks one that the checkpoint has (a bias), or that code normalises by
    running statistics, where ours goes by those of the batch.

    Args:
        weights: by our names (:func:`supsup.checkpoints.names.named_weights`).
        layout: of the masks.
    """
    if named.recipe is None or named.recipe.net not in NETS or found.statistics:
        return None
    # Scales of masked neurons that the checkpoint has no weight of are 1, and count for none.
    filled = sum(f"{layer}.weight" not in found.weights for layer in named.parameters)
    if weights.keys() != named.shapes.keys() or len(weights) - filled != len(found.weights):
        return None
    if any(each.dtype != torch.float32 for each in weights.values()):
        return None
    recipe = replace(
        named.recipe, weights=WeightsFile.of(checkpoint), maskable=tuple(layout.shapes)
    )
    backbone = build(recipe, values=weights)
    return backbone if backbone.layout == layout else None
