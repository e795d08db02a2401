"""Trained masks on their way into an archive: coded on all cores, appended in order.

Coding a mask takes long beside a task that a GPU trains in milliseconds, and nothing of it depends
on the other tasks. So threads code, most of it without Python's lock, while the caller's thread
goes on asking for outcomes; whatever is first in line and coded it appends, a commit per mask.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext

from maskstore.archive import MaskArchive
from maskstore.packed import StoredTask
from maskstore.parallel import THREADS
from maskstore.writer import EncodedTask
from supsup.archives.score_sums import ScoreSums
from supsup.errors import TrainingDiverged
from supsup.training.metadata import with_metrics
from supsup.training.outcome import Outcome, TrainedMask, tell

WAITING = 2 * THREADS
"""Outcomes in line; no further one is asked for before the first of them is stored."""


class _Line:
    """Outcomes in their order: masks that are being coded, and tasks that have none."""

    def __init__(self, archive: MaskArchive, codec: str, coded: Callable[[], None]) -> None:
        self._archive, self._codec, self._coded = archive, codec, coded
        self._pool = ThreadPoolExecutor(THREADS)
        self._waiting: deque[tuple[Outcome, Future[EncodedTask] | None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, outcome: Outcome) -> None:
        coding = None
        if isinstance(outcome, TrainedMask):
            coding = self._pool.submit(self._encode, outcome)
            coding.add_done_callback(lambda _: self._coded())
        self._waiting.append((outcome, coding))

    @property
    def ready(self) -> bool:
        """Whether the first outcome needs no more coding."""
        return bool(self._waiting) and ((first := self._waiting[0][1]) is None or first.done())

    def wait(self) -> None:
        """Until :attr:`ready`."""
        if self._waiting and (first := self._waiting[0][1]) is not None:
            wait([first])

    def pop(self) -> tuple[TrainedMask, EncodedTask] | TrainingDiverged:
        """The first outcome; raises what its coding raised."""
        outcome, coding = self._waiting.popleft()
        if isinstance(outcome, TrainedMask):
            assert coding is not None
            return outcome, coding.result()
        return outcome

    def close(self) -> None:
        """Forget all in line."""
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _encode(self, trained: TrainedMask) -> EncodedTask:
        return self._archive.encode(
            trained.name,
            trained.masks,
            with_metrics(trained.metadata, trained.metrics),
            tensors=trained.tensors,
            codec=self._codec,
        )


def append(
    archive: MaskArchive,
    outcomes: Iterable[Outcome | None],
    *,
    codec: str = "auto",
    sums: ScoreSums | None = None,
    diverged: Callable[[TrainingDiverged], None] | None = None,
    coded: Callable[[], None] = lambda: None,
) -> Iterator[StoredTask]:
    """Append each mask as it comes, and keep its scores; it is durable when it is yielded.

    When the outcomes end early, by an error or Ctrl-C, the masks that they gave are appended and
    yielded first. A second Ctrl-C ends that, too.

    Args:
        outcomes: None where none is there yet and the caller should look after others.
        diverged: told of each task that has no mask when those before it are stored.
        coded: makes ``outcomes`` give None; called in any thread.

    Raises:
        TrainingDiverged: no ``diverged`` is given, when the turn of such a task comes.
        ArchiveWriteError, TaskExists: that mask was not appended, and none behind it is.
    """
    line = _Line(archive, codec, coded)
    coming, ended = iter(outcomes), None
    try:
        while ended is None or len(line):
            try:
                if ended is not None or len(line) >= WAITING:
                    line.wait()
                elif (outcome := next(coming)) is not None:
                    line.put(outcome)
            except BaseException as error:
                if ended is not None:
                    raise
                ended = error
            while line.ready:
                first = line.pop()
                if isinstance(first, TrainingDiverged):
                    tell(first, diverged)
                    continue
                trained, encoded = first
                with sums.adding(trained) if sums else nullcontext():
                    stored = archive.add_encoded(encoded)
                yield stored
        if not isinstance(ended, StopIteration):
            raise ended
    finally:
        line.close()
        if isinstance(coming, Generator):
            coming.close()  # a traceback would hold it, and training would go on
