"""Herding: few images whose mean feature stays close to that of all."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize


def herd(features: Float[Tensor, "image width"], count: int) -> Int64[Tensor, " chosen"]:
    """Indices of chosen images, in the order of choice (Rebuffi et al., 2017).

    Choice k is the image, of those not yet chosen, that brings the mean of the k chosen features
    closest to the mean of all. So the first few of the chosen are what fewer would be.

    Args:
        features: of length 1; their mean is scaled to length 1, too.
        count: how many; at most as many as there are.
    """
    goal = class_mean(features)
    lengths = features.square().sum(1)
    left = torch.zeros(len(features), dtype=torch.float32, device=features.device)
    total = torch.zeros_like(goal)
    chosen = []
    for k in range(1, min(count, len(features)) + 1):
        # |goal - (total + f) / k|² ordered like |f|² - 2 f · (k goal - total).
        distance = lengths - 2 * (features @ (k * goal - total)) + left
        best = distance.argmin()
        left[best] = torch.inf
        total += features[best]
        chosen.append(best)
    return torch.stack(chosen)


def class_mean(features: Float[Tensor, "image width"]) -> Float[Tensor, " width"]:
    """The mean of features, scaled to length 1."""
    return normalize(features.mean(0), dim=0)
