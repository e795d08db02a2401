"""One line of a CSV file for every task."""

import csv
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from maskstore.errors import InvalidInput
from supsup.errors import TrainingDiverged
from supsup.logs.base import TrainingLog
from supsup.train import Progress

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
            raise InvalidInput(f"{path}: cannot be gone on with as CSV ({error})") from error
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
        self._write([failure.task, "", "", "", "", self._seconds, failure])

    def close(self) -> None:
        """Every line is written already."""

    @property
    def _seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)

    def _write(self, row: Sequence[object]) -> None:
        with open(self._path, "a", newline="") as file:
            csv.writer(file).writerow(row)
