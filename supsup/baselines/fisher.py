"""The diagonal of the Fisher information of a classifier's weights."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev, vmap

_NUMBERS = 2**23
"""Numbers of the gradients held at a time (32 MB): what fits the cache is summed quicker."""


def diagonal_fisher(
    outputs: Callable[[Mapping[str, Tensor], Tensor], Tensor],
    weights: Mapping[str, Tensor],
    images: Float[Tensor, "image ..."],
) -> dict[str, Tensor]:
    """Mean over images of Σ_c p(c|x) (∂ log p(c|x) / ∂w)², for each weight w.

    The expectation over labels is the model's own and exact, so labels are neither asked for nor
    drawn: this is not the "empirical" Fisher information of the true labels.

    Args:
        outputs: logits of a batch under weights.
        weights: of which the information is taken.
        images: each is run by itself.
    """

    def log_p(weights: dict[str, Tensor], image: Tensor) -> tuple[Tensor, Tensor]:
        found = outputs(weights, image.unsqueeze(0))[0].log_softmax(0)
        return found, found

    at = {name: w.detach() for name, w in weights.items()}
    with torch.no_grad():
        classes = outputs(at, images[:1]).shape[1]
    each = classes * sum(w.numel() for w in at.values())
    total = {name: torch.zeros_like(w) for name, w in at.items()}
    for part in images.split(max(1, _NUMBERS // each)):
        slopes, found = vmap(jacrev(log_p, has_aux=True), in_dims=(None, 0))(at, part)
        roots = (found / 2).exp().flatten()  # √p
        for name, slope in slopes.items():
            rows = slope.flatten(0, 1)
            rows *= roots.view(-1, *[1] * (rows.ndim - 1))
            total[name] += rows.square_().sum(0)
    return {name: information / len(images) for name, information in total.items()}
