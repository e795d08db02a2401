"""Several logs as one."""

from collections.abc import Mapping, Sequence

from supsup.errors import TrainingDiverged
from supsup.logs.base import TrainingLog
from supsup.train import Progress


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
