"""Where the figures of a training go while it runs, beside the archive: CSV, TensorBoard, both."""

import csv
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from maskstore.errors import InvalidInput
from maskstore.task_table import csv_cell
from supsup.errors import TrainingDiverged
from supsup.training.progress import Progress


class TrainingLog(ABC):
    """Told of a training as it goes; a context manager that closes itself.

    ``progress`` and ``diverged`` are what :func:`supsup.train` calls; ``trained`` is for the one
    who takes its masks.
    """

    @abstractmethod
    def progress(self, progress: Progress) -> None:
        """A task has come so far."""

    @abstractmethod
    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        """A task has its mask, with the metrics of :class:`supsup.TrainedMask`."""

    @abstractmethod
    def diverged(self, failure: TrainingDiverged) -> None:
        """A task has none."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more comes."""

    def __enter__(self) -> "TrainingLog":
        """The log itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()


COLUMNS = ("task", "accuracy", "loss", "density", "steps", "seconds", "error")


class CsvLog(TrainingLog):
    """Adds a line for each task that is trained or has diverged, in the file at once.

    ``seconds`` count from the making of this log. A file that is there is gone on with.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open or make the file.

        Raises:
            InvalidInput: it cannot be written, or has other columns.
        """
        self._path, self._start = Path(path), time.perf_counter()
        try:
            with open(self._path, "a+", newline="") as file:
                file.seek(0)
                first = next(csv.reader(file), None)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidInput(f"{path}: cannot be gone on with as CSV ({reason})") from error
        if first is None:
            self._write(COLUMNS)
        elif tuple(first) != COLUMNS:
            raise InvalidInput(
                f"{path}: expected a CSV file of columns {','.join(COLUMNS)}, "
                f"found {','.join(first):.80}; name another file"
            )

    def progress(self, progress: Progress) -> None:
        """Not kept."""

    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        figures = [metrics[column] for column in COLUMNS[1:5]]
        self._write([name, *figures, self._seconds, ""])

    def diverged(self, failure: TrainingDiverged) -> None:
        self._write([failure.task, "", "", "", "", self._seconds, str(failure)])

    def close(self) -> None:
        """Every line is written already."""

    @property
    def _seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)

    def _write(self, row: Sequence[object]) -> None:
        with open(self._path, "a", newline="") as file:
            csv.writer(file).writerow([csv_cell(each) for each in row])


class Logs(TrainingLog):
    """Tells each of them everything."""

    def __init__(self, logs: Sequence[TrainingLog]) -> None:
        """Take the logs."""
        self._logs = tuple(logs)

    def progress(self, progress: Progress) -> None:
        for log in self._logs:
            log.progress(progress)

    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        for log in self._logs:
            log.trained(name, metrics)

    def diverged(self, failure: TrainingDiverged) -> None:
        for log in self._logs:
            log.diverged(failure)

    def close(self) -> None:
        for log in self._logs:
            log.close()


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
