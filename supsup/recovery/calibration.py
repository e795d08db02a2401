"""How certain a mask is on data of its own task: what tells them from data of an unknown one."""

import numpy as np
import torch

from supsup.networks.backbone import Backbone
from supsup.recovery.mask_entropy import BATCH, MaskEntropy
from supsup.tasks.checked import train_images
from supsup.tasks.protocol import TaskData

BATCHES = 8
DEVIATIONS = 4.0
"""Standard deviations over the batches by which new data of the task may be less certain."""

_LEAST_SPREAD = 0.1
"""Least deviation, as a share of the mean: one batch alone has none."""


def accepted_entropy(backbone: Backbone, task: TaskData, mask: np.ndarray) -> float:
    """The highest mean entropy at which data count as the task's own, nats.

    Of training images without their labels; one number for a mask, whatever else is stored.

    Args:
        mask: the task's, flat: d numbers, 0.0 or 1.0.
    """
    images = min(BATCHES * BATCH, task.train_size)
    x, _ = train_images(task, torch.arange(images, dtype=torch.int64, device=task.device))
    # How many outputs stand for a class matters to other objectives, not to the entropy.
    entropy = MaskEntropy(backbone, x, classes=1)
    values = [entropy(mask, step)[0] for step in range(max(images // BATCH, 1))]
    mean, spread = float(np.mean(values)), float(np.std(values))
    return mean + DEVIATIONS * max(spread, _LEAST_SPREAD * mean)
