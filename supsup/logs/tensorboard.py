"""Curves for TensorBoard."""

from collections.abc import Mapping
from os import PathLike

from maskstore.errors import InvalidInput
from supsup.errors import TrainingDiverged
from supsup.logs.base import TrainingLog
from supsup.train import Progress


class TensorBoardLog(TrainingLog):
    """``loss/TASK`` over steps; ``task/accuracy`` and the other metrics over tasks."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        """Begin a file of events in the folder.

        Raises:
            InvalidInput: TensorBoard is not installed, or the folder cannot be written.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InvalidInput(
                "TensorBoard is not installed: pip install 'supsup-store[tensorboard]'"
            ) from error
        try:
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            raise InvalidInput(f"{folder}: cannot be written: {error.strerror}") from error
        self._tasks = 0

    def progress(self, progress: Progress) -> None:
        self._writer.add_scalar(f"loss/{progress.name}", progress.loss, progress.step)

    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        for metric, value in metrics.items():
            self._writer.add_scalar(f"task/{metric}", value, self._tasks)
        self._tasks += 1

    def diverged(self, failure: TrainingDiverged) -> None:
        self._writer.add_text("diverged", str(failure), self._tasks)
        self._tasks += 1

    def close(self) -> None:
        self._writer.close()
