"""Where the scores of tasks start: seeded ones over seeded weights, and over trained weights what
the rule makes of those.
"""

from collections.abc import Sequence

import torch

from maskstore.seeded.scores import ScoreStart
from supsup.masking.base import MaskRule
from supsup.networks.backbone import Backbone
from supsup.training.buffers import Buffers


def seeded_start(backbone: Backbone, start: ScoreStart) -> ScoreStart | None:
    """What to keep with a mask of its start: None where no score of it came from the seed.

    A start that is kept says how the scores of the layers with seeded weights began; those over
    trained weights follow from the weights and the rule.
    """
    return None if backbone.trained.issuperset(backbone.layout.shapes) else start


def begin(
    backbone: Backbone, rule: MaskRule, starts: Sequence[ScoreStart], dtype: torch.dtype
) -> Buffers:
    """Buffers whose scores are where tasks with those starts begin.

    Args:
        dtype: of W ⊙ M.
    """
    buffers = Buffers.draw(
        backbone.layout,
        starts,
        backbone.device,
        dtype,
        backbone.task_tensors,
        backbone.own_parameters,
    )
    layers = buffers.layers(buffers.scores)
    for name, weight in backbone.weights.items():
        if name in backbone.trained:
            layers[name].copy_(rule.trained_start(weight))
    return buffers
