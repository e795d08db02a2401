"""Mask training of many tasks at once: batches, gradients, updates, and who runs them."""

from supsup.training.config import TrainConfig
from supsup.training.group import Progress, TrainedMask
from supsup.training.loop import train

__all__ = [
    "Progress",
    "TrainConfig",
    "TrainedMask",
    "train",
]
