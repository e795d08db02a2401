"""Errors of training. Everything else uses the tree of :mod:`maskstore.errors`."""

from maskstore.errors import SupsupError


class TrainingDiverged(SupsupError):
    """A loss or a score stopped being a finite number; no mask came of it.

    Attributes:
        task: name of the task; None where it has none.
    """

    def __init__(self, message: str, *, task: str | None = None) -> None:
        """Take the message and the task's name."""
        super().__init__(message)
        self.task = task


class ClusterFailed(SupsupError):
    """The workers of a cluster died too often over the same tasks, or all of the cluster did."""
