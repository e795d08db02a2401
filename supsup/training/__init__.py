"""Mask training of many tasks at once: batches, gradients, updates, and who runs them.

Nothing is imported before it is asked for: metadata and settings of stored masks need no training.
"""

from typing import TYPE_CHECKING

from supsup._lazy import lazy_names

if TYPE_CHECKING:
    from supsup.training.config import TrainConfig
    from supsup.training.loop import train
    from supsup.training.outcome import TrainedMask
    from supsup.training.progress import Progress
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "supsup.training.config": ("TrainConfig",),
            "supsup.training.loop": ("train",),
            "supsup.training.outcome": ("TrainedMask",),
            "supsup.training.progress": ("Progress",),
        },
    )

__all__ = [
    "Progress",
    "TrainConfig",
    "TrainedMask",
    "train",
]
