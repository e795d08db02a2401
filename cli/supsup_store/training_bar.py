"""What follows a training: a bar on stderr, and the logs that were asked for.

Imports torch: only commands that train import this.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from supsup import Progress, TrainingDiverged
from supsup.training.logs import CsvLog, Logs, TensorBoardLog, TrainingLog
from supsup_store.progress import progress_bar


@contextmanager
def followed(
    tasks: int, *, csv: Path | None, tensorboard: Path | None, quiet: bool
) -> Iterator[TrainingLog]:
    """All that follows a training of so many tasks."""
    with ExitStack() as stack:
        logs: list[TrainingLog] = []
        if csv is not None:
            logs.append(stack.enter_context(CsvLog(csv)))
        if tensorboard is not None:
            logs.append(stack.enter_context(TensorBoardLog(tensorboard)))
        logs.append(stack.enter_context(TrainingBar(tasks, quiet=quiet)))
        yield Logs(logs)


class TrainingBar(TrainingLog):
    """A bar over tasks, which fills with their steps: rate, time left, mean accuracy so far."""

    def __init__(self, tasks: int, *, quiet: bool) -> None:
        """Show it."""
        self._bar = progress_bar(quiet=quiet)
        self._shown = self._bar.add_task("training", total=tasks)
        self._parts: dict[str, float] = {}
        self._accuracies: list[float] = []
        self._bar.start()

    def progress(self, progress: Progress) -> None:
        self._parts[progress.name] = progress.step / progress.steps
        self._show(f"{progress.name} loss {progress.loss:.3f}")

    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        self._accuracies.append(metrics["accuracy"])
        self._show(f"{name} trained")

    def diverged(self, failure: TrainingDiverged) -> None:
        if failure.task is not None:
            self._parts[failure.task] = 1.0
        self._show(f"{failure.task} diverged")

    def close(self) -> None:
        self._bar.stop()

    def _show(self, what: str) -> None:
        if self._accuracies:
            what += f", accuracy {sum(self._accuracies) / len(self._accuracies):.4f}"
        self._bar.update(self._shown, completed=sum(self._parts.values()), description=what)
