"""Groups of tasks on a few threads: begun in order, given back in order, stopped together."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from supsup.backbone import Backbone
from supsup.config import TrainConfig
from supsup.engine.group import Outcome, Progress, train_group
from supsup.engine.plan import Plan
from supsup.engine.room import Room, out_of_memory
from supsup.protocols import TaskData
from supsup.transfer import Transfer


def train_groups(
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    plan: Plan,
    report: Callable[[Progress], None],
    transfer: Transfer | None = None,
) -> Iterator[Outcome]:
    """The outcome of each task, in the order of the tasks, as soon as those before it are there.

    A group that does not fit into memory is halved and begins again, and later ones are smaller;
    where groups are one task each, fewer of them run at a time.

    Args:
        tasks: taken in the caller's thread, one group more than are trained at the moment.
        report: called in the caller's thread.
        transfer: from task to task, in a plan of one lane and one row.

    Raises:
        Whatever the training of a task raises, when that task's turn comes.
    """
    events: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    stop = threading.Event()
    room = Room(lanes=plan.lanes, rows=plan.rows)

    def run(group: Sequence[TaskData]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(group):
            rows = room.rows
            part = group[len(outcomes) : len(outcomes) + rows]
            with room.lane() as lanes:
                try:
                    outcomes += train_group(
                        backbone,
                        part,
                        config,
                        rows=rows,
                        report=events.put,
                        stopped=stop.is_set,
                        transfer=transfer,
                    )
                    continue
                except Exception as error:
                    if not out_of_memory(error):
                        raise
                    failure = error.with_traceback(None)  # the traceback holds the buffers
            if not room.shrink(lanes=lanes, rows=rows):
                raise failure
        return outcomes

    groups = _groups(tasks, config, room, fixed=plan.fixed)
    begun: deque[Future[list[Outcome]]] = deque()
    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        plan.lanes, initializer=torch.set_num_threads, initargs=(plan.threads,)
    )
    try:
        while True:
            # One more than can run: no lane waits while the caller stores a mask.
            while len(begun) <= plan.lanes and (group := next(groups, None)):
                begun.append(pool.submit(run, group))
                begun[-1].add_done_callback(lambda _: events.put(None))
            if not begun:
                return
            while not (begun[0].done() and events.empty()):
                if (event := events.get()) is not None:
                    report(event)
            yield from begun.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


def _groups(
    tasks: Iterable[TaskData], config: TrainConfig, room: Room, *, fixed: bool
) -> Iterator[list[TaskData]]:
    """Consecutive tasks of equally many steps, ``room.rows`` at most.

    Unless they are ``fixed``, the rows become as few as the first group needs.
    """
    for group in _runs(tasks, config, room):
        if not fixed:
            room.rows, fixed = len(group), True
        yield group


def _runs(tasks: Iterable[TaskData], config: TrainConfig, room: Room) -> Iterator[list[TaskData]]:
    group: list[TaskData] = []
    for task in tasks:
        steps = config.steps_for(task.train_size)
        if group and steps != config.steps_for(group[0].train_size):
            yield group
            group = []
        group.append(task)
        if len(group) >= room.rows:
            yield group
            group = []
    if group:
        yield group
