"""What a checkpoint's masks are made of: scores by task and layer, and the rule between them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from supsup.tasks.recipe import TaskRecipe

MaskRule = Callable[[Float[Tensor, "..."]], Bool[Tensor, "..."]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointScores:
    """Scores of a checkpoint, not yet binary.

    Attributes:
        kind: threshold, topk or piggyback, for the record of an import.
        tasks: task (what follows the prefix in its name) → layer → scores, layers in the
            checkpoint's order.
        rules: layer → how its scores become a mask.
        weights: every tensor of the checkpoint that is no score and no running statistic, by its
            name there.
        statistics: task → the running means and variances by which that code answers, by their
            names there, without the number of the task; empty where it has none.
        data: task → the recipe of its data, where the checkpoint says which they were and they can
            be remade to the bit.
        arch: the network's name in the code that wrote the checkpoint, where it says so.
    """

    kind: str
    tasks: Mapping[str, Mapping[str, Tensor]]
    rules: Mapping[str, MaskRule]
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    data: Mapping[str, TaskRecipe] = field(default_factory=dict)
    arch: str | None = None


def threshold(scores: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Score >= 0: ``GetSubnetFast`` of the paper's code."""
    return scores >= 0


def topk(scores: Float[Tensor, "..."], density: float) -> Bool[Tensor, "..."]:
    """The largest |score| of a layer: ``GetSubnet`` of the paper's code.

    As many as it keeps, its ``int((1 - k) * n)`` included. Among equal |scores| at the cut the
    later ones are kept here; its sort is not stable, so that nobody knows which it kept
    (:func:`tied`).
    """
    dropped = int((1 - density) * scores.numel())
    order = scores.abs().flatten().argsort(stable=True)
    mask = torch.ones(math.prod(scores.shape), dtype=torch.bool, device=scores.device)
    mask[order[:dropped]] = False
    return mask.view(scores.shape)


def tied(scores: Float[Tensor, "..."], mask: Bool[Tensor, "..."]) -> int:
    """How many of the |scores| that :func:`topk` cut between are equal: 0 where it was clear."""
    size = scores.abs()
    kept, dropped = size[mask], size[~mask]
    if not len(kept) or not len(dropped) or kept.min() != dropped.max():
        return 0
    return int((size == kept.min()).sum())


def erdos_renyi_density(shape: tuple[int, ...], multiplier: float) -> float:
    """min(0.5, s (out + in) / n) of a layer of n weights: ``--er-sparsity`` of the paper's code.

    In its order of operations, since the number that is kept is cut to a whole one.
    """
    return min(0.5, multiplier * (shape[0] + shape[1]) / math.prod(shape))
