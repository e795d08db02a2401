"""What follows a training: a bar on stderr, and the logs that were asked for.

Imports torch: only commands that train import this.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from supsup.training.bar import TrainingBar
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
        logs.append(stack.enter_context(TrainingBar(tasks, progress_bar(quiet=quiet))))
        yield Logs(logs)
