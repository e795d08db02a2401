"""Groups of tasks on a few threads: begun in order, given back in order, stopped together, and made
smaller where memory turns out not to suffice.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch

from supsup.networks.backbone import Backbone
from supsup.networks.explain import out_of_memory
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig
from supsup.training.drawn_images import OtherTasks
from supsup.training.group import train_group
from supsup.training.outcome import Outcome
from supsup.training.plan import Plan
from supsup.training.progress import Progress
from supsup.training.transfer import Transfer


class Capacity:
    """How many workers train at a time, and how many rows a group may have; both only shrink."""

    def __init__(self, *, workers: int, rows: int) -> None:
        """Begin with these."""
        self.rows = rows
        self._workers, self._busy = workers, 0
        self._changed = threading.Condition()

    @contextmanager
    def worker(self) -> Iterator[int]:
        """Wait for a worker, and have it; gives how many there are."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._workers)
            self._busy += 1
            workers = self._workers
        try:
            yield workers
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def shrink(self, *, workers: int, rows: int) -> bool:
        """Halve the rows, or else the workers, with which a group did not fit.

        Returns:
            Whether there was anything to halve.
        """
        with self._changed:
            if rows > 1:
                self.rows = min(self.rows, rows // 2)
            else:
                self._workers = min(self._workers, max(1, workers // 2))
            return rows > 1 or workers > 1


class Waker:
    """Wakes who waits for the next outcome of one training, from any thread."""

    def __init__(self) -> None:
        """Begin without anybody waiting."""
        self.events: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
        self._called = threading.Event()

    def wake(self) -> None:
        """Let the one who waits look at something else for once."""
        self._called.set()
        self.events.put(None)

    def woken(self) -> bool:
        """Whether it was called since it was last asked."""
        called = self._called.is_set()
        self._called.clear()
        return called


def train_groups(
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    plan: Plan,
    report: Callable[[Progress], None],
    transfer: Transfer | None = None,
    waker: Waker | None = None,
    others: OtherTasks | None = None,
) -> Iterator[Outcome | None]:
    """The outcome of each task, in the order of the tasks, as soon as those before it are there.

    None is given where ``waker`` wakes the caller before the next outcome is there.

    A group that does not fit into memory is halved and begins again, and later ones are smaller;
    where groups are one task each, fewer of them run at a time.

    Args:
        tasks: taken in the caller's thread, one group more than are trained at the moment.
        report: called in the caller's thread.
        transfer: from task to task, in a plan of one worker and one row.
        waker: of this training alone.
        others: that outliers are drawn from.

    Raises:
        Whatever the training of a task raises, when that task's turn comes.
    """
    waker = waker or Waker()
    events = waker.events
    stop = threading.Event()
    capacity = Capacity(workers=plan.workers, rows=plan.rows)

    def run(group: Sequence[TaskData]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(group):
            rows = capacity.rows
            part = group[len(outcomes) : len(outcomes) + rows]
            with capacity.worker() as workers:
                try:
                    outcomes += train_group(
                        backbone,
                        part,
                        config,
                        rows=rows,
                        report=events.put,
                        stopped=stop.is_set,
                        transfer=transfer,
                        others=others,
                    )
                    continue
                except Exception as error:
                    if not out_of_memory(error):
                        raise
                    failure = error.with_traceback(None)  # the traceback holds the buffers
            if not capacity.shrink(workers=workers, rows=rows):
                raise failure
        return outcomes

    groups = _groups(tasks, config, capacity, fixed=plan.fixed)
    begun: deque[Future[list[Outcome]]] = deque()
    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        plan.workers, initializer=torch.set_num_threads, initargs=(plan.threads,)
    )
    try:
        while True:
            # One more than can run: no worker waits while the caller stores a mask.
            while len(begun) <= plan.workers and (group := next(groups, None)):
                begun.append(pool.submit(run, group))
                begun[-1].add_done_callback(lambda _: events.put(None))
            if not begun:
                return
            while not (begun[0].done() and events.empty()):
                if (event := events.get()) is not None:
                    report(event)
                elif waker.woken():
                    yield None
            yield from begun.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


def _groups(
    tasks: Iterable[TaskData], config: TrainConfig, capacity: Capacity, *, fixed: bool
) -> Iterator[list[TaskData]]:
    """Consecutive tasks of equally many steps, ``capacity.rows`` at most.

    Unless they are ``fixed``, the rows become as few as the first group needs.
    """
    for group in _runs(tasks, config, capacity):
        if not fixed:
            capacity.rows, fixed = len(group), True
        yield group


def _runs(
    tasks: Iterable[TaskData], config: TrainConfig, capacity: Capacity
) -> Iterator[list[TaskData]]:
    group: list[TaskData] = []
    for task in tasks:
        steps = config.steps_for(task.train_size)
        if group and steps != config.steps_for(group[0].train_size):
            yield group
            group = []
        group.append(task)
        if len(group) >= capacity.rows:
            yield group
            group = []
    if group:
        yield group
