"""Errors of training. Everything else uses the tree of :mod:`maskstore.errors`."""

from os import PathLike, fspath

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


class TrainingStopped(KeyboardInterrupt):
    """Ctrl-C while an archive was trained into: it is valid, and has what was done by then.

    Attributes:
        done: tasks that are in the archive, of the ``tasks`` that were asked for.
    """

    def __init__(self, path: str | PathLike[str], *, done: int, tasks: int) -> None:
        """Take the archive's path and the numbers."""
        super().__init__(f"stopped: {done} of {tasks} tasks are in {fspath(path)}, which is valid")
        self.done, self.tasks = done, tasks
