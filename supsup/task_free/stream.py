"""A stream of labelled batches in which the task changes without notice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup.tasks.checked import train_images
from supsup.tasks.order import batches
from supsup.tasks.protocol import TaskData


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamBatch:
    """Images and labels.

    Attributes:
        source: the task they are of, for those who evaluate; a learner notes it and does not look
            at it. None where nobody knows.
    """

    images: Float[Tensor, "batch ..."]
    labels: Int64[Tensor, " batch"]
    source: TaskData | None = None


def task_stream(
    tasks: Sequence[TaskData],
    *,
    visits: int = 1,
    least: int = 200,
    most: int = 400,
    batch: int = 128,
    seed: int = 0,
) -> Iterator[StreamBatch]:
    """Visits to tasks of random length, one after the other.

    All tasks are visited once in their order, then ``visits - 1`` times in a random order. A task
    goes on with its images where its visit before ended.

    Args:
        least, most: batches of a visit, the length drawn from the seed.
        batch: images of a batch.

    Raises:
        InvalidInput: no tasks, a task without images, or a number below 1.
    """
    if not tasks or min(visits, least, batch) < 1 or most < least:
        raise InvalidInput(
            f"stream: expected tasks, visits and a batch from 1 and 1 <= least <= most, got "
            f"{len(tasks)} tasks, {visits} visits, batch {batch}, {least} to {most} batches a visit"
        )
    return _visits(tasks, visits, least, most, batch, seed)


def _visits(
    tasks: Sequence[TaskData], visits: int, least: int, most: int, batch: int, seed: int
) -> Iterator[StreamBatch]:
    orders = [batches(seed, t.name, t.train_size, batch, t.device) for t in tasks]
    lengths = seeded.integers(seed, "stream/lengths", (visits * len(tasks),), most - least + 1)
    route = [np.arange(len(tasks))]
    route += [seeded.permutation(seed, f"stream/{v}", len(tasks)) for v in range(1, visits)]
    for at, length in zip(np.concatenate(route), lengths, strict=True):
        task = tasks[at]
        for _ in range(least + int(length)):
            images, labels = train_images(task, next(orders[at]))
            yield StreamBatch(images=images, labels=labels, source=task)
