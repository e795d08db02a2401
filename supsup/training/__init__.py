"""Mask training of many tasks at once: batches, gradients, updates, and who runs them."""

from supsup.training.config import TrainConfig
from supsup.training.loop import train
from supsup.training.outcome import TrainedMask
from supsup.training.progress import Progress

__all__ = [
    "Progress",
    "TrainConfig",
    "TrainedMask",
    "train",
]
