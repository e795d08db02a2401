"""The network of a checkpoint, where all its numbers are among the checkpoint's tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.checkpoints.names import NamedLayers, in_our_names
from supsup.checkpoints.scores import CheckpointScores
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.registry import NETS
from supsup.networks.weights_file import WeightsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeNetwork:
    """A network of ours with a checkpoint's numbers.

    Attributes:
        tensors: task → its running statistics, by our names; empty where it goes by those of the
            batch.
    """

    backbone: Backbone
    tensors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


def whole_network(
    checkpoint: Path,
    found: CheckpointScores,
    named: NamedLayers,
    weights: Mapping[str, Tensor],
    layout: MaskLayout,
) -> WholeNetwork | None:
    """A network of ours with the checkpoint's numbers, which answers as the checkpoint's code does.

    None where that is not certain: the network is none that ships here, has a number that the
    checkpoint lacks, or lacks one that the checkpoint has (a bias, a scale of normalisation).

    Args:
        weights: by our names (:func:`supsup.checkpoints.names.named_weights`).
        layout: of the masks.
    """
    if named.recipe is None or named.recipe.net not in NETS:
        return None
    theirs = in_our_names(named, found.weights)
    if weights.keys() != named.shapes.keys() or not theirs.keys() <= weights.keys():
        return None
    if any(each.dtype != torch.float32 for each in weights.values()):
        return None
    recipe = replace(
        named.recipe,
        weights=WeightsFile.of(checkpoint),
        maskable=tuple(layout.shapes),
        statistics="running" if found.statistics else "batch",
    )
    backbone = build(recipe, values=weights)
    tensors = {task: in_our_names(named, each) for task, each in found.statistics.items()}
    kept = _kinds(backbone.kept_tensors)
    if backbone.layout != layout or any(_kinds(tensors.get(t, {})) != kept for t in found.tasks):
        return None
    return WholeNetwork(backbone=backbone, tensors=tensors)


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
