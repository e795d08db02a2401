"""What the masks on a list say by themselves, a list for each image or one for the batch."""

import numpy as np
import torch
from jaxtyping import Float64, Int64

from supsup.inference.forward_all import forward_masks
from supsup.inference.query import Query
from supsup.networks.probe import probe
from supsup.tasks.batch import images_at

_MASKS_AT_ONCE = 32


def evidence_on(
    query: Query, listed: Int64[np.ndarray, "group shortlist"]
) -> Float64[np.ndarray, "group task"]:
    """Minus the objective under each mask of its group's list, -inf for the others.

    Args:
        listed: in ascending order.
    """
    scores = np.full((len(listed), len(query.bank)), -np.inf)
    if query.per_image:
        _rank_images(query, listed, scores)
    else:
        values = forward_masks(query.bank, query.x, query.values, rows=listed[0])
        scores[0, listed[0]] = -values.mean(1)
    return scores


def _rank_images(
    query: Query,
    listed: Int64[np.ndarray, "batch shortlist"],
    scores: Float64[np.ndarray, "batch task"],
) -> None:
    """Every image under the masks of its own list, mask by mask.

    Where an answer depends on the images beside it, all of them run under each mask.
    """
    bank, masks = query.bank, np.unique(listed)
    together = probe(bank.backbone, query.x).mixes_images
    for start in range(0, len(masks), _MASKS_AT_ONCE):
        chosen = masks[start : start + _MASKS_AT_ONCE]
        weights = bank.masked(chosen)
        for at, mask in enumerate(chosen):
            images = np.flatnonzero((listed == mask).any(axis=1))
            x = query.x if together else images_at(query.x, images)
            with torch.no_grad():
                logits = bank.run(x, {name: w[at] for name, w in weights.items()})
                logits = logits[images] if together else logits
                scores[images, mask] = (
                    -query.values(logits[None], chosen[at : at + 1])[0].cpu().numpy()
                )
        bank.progress("trying", start + len(chosen), len(masks))
