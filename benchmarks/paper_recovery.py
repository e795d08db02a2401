"""The paper's recipe of Hopfield recovery, for comparison: its constants, its straight-through."""

import numpy as np
from jaxtyping import Float, Int8

from hopfield import Entropy, HopfieldMemory

RATE, MOMENTUM, DECAY, GAMMA = 500.0, 0.9, 1e-4, 1.5e-3


def paper_recipe(
    memory: HopfieldMemory,
    entropy: Entropy,
    *,
    mean: Float[np.ndarray, " unit"],
    steps: int,
) -> Int8[np.ndarray, " unit"]:
    """Gradient steps on the scores behind a binary mask, from the mean of the stored patterns.

    Args:
        memory: Storkey's rule, a matrix for each layer.
        steps: batches of the test set, T of eq. 6.
    """
    scores, velocity = mean.astype(np.float64), np.zeros(memory.size)
    for t in range(1, steps + 1):
        mask = (scores >= 0).astype(np.float64)
        _, slope = entropy(mask, t - 1)
        # E is a function of z = 2m - 1: its slope in the mask is twice that in z.
        energy_slope = -2 * memory.field(2 * mask - 1)
        velocity = MOMENTUM * velocity + DECAY * scores
        velocity += (1 - t / steps) * slope + GAMMA * (t / steps) * energy_slope
        scores -= RATE * velocity
    return np.where(scores >= 0, 1, -1).astype(np.int8)
