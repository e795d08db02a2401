"""The family of training logs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType

from supsup.errors import TrainingDiverged
from supsup.train import Progress


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
