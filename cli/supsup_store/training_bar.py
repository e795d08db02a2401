"""What follows a training: a bar on stderr, and the logs that were asked for.

Imports torch: only commands that train import this.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from supsup.training.bar import TrainingBar
from supsup.training.logs import Logs, TrainingLog
from supsup.training.trackers import logs_of
from supsup_store.progress import progress_bar


@contextmanager
def followed(tasks: int, *, log: Sequence[str], quiet: bool) -> Iterator[TrainingLog]:
    """All that follows a training of so many tasks."""
    with ExitStack() as stack:
        logs = stack.enter_context(logs_of(log))
        bar = stack.enter_context(TrainingBar(tasks, progress_bar(quiet=quiet)))
        yield Logs([*logs, bar])
