"""The boundary to tasks of others: what they give is parsed before it is used.

Training, evaluation and inference ask for batches here, never the task itself. The tasks of this
package, each a :class:`supsup.tasks.protocol.ParsedTask`, parse what they are made of.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from maskstore.seeded.streams import permutation
from supsup.tasks.batch import (
    Batch,
    join_batches,
    one_tensor,
    parse_batch,
    parse_name,
    rows_of,
    split_batch,
)
from supsup.tasks.class_names import class_names_of
from supsup.tasks.loader_task import LoaderTask
from supsup.tasks.protocol import IndexedTask, ParsedTask, TaskData

_MEMBERS = ("name", "classes", "train_size", "device", "recipe", "train_batch", "test_batches")


def check_task(task: TaskData) -> TaskData:
    """The task itself, where it has what :class:`TaskData` asks for.

    Raises:
        InvalidInput: a member is missing, or is no name or number; or ``class_names`` is there, and
            these are no names of its classes.
    """
    if isinstance(task, ParsedTask):
        _check_some(task)
        return task
    _refuse_data(task)
    missing = [name for name in _MEMBERS if not hasattr(task, name)]
    if missing:
        raise InvalidInput(
            f"task: expected a TensorTask, DatasetTask, LoaderTask or an object like "
            f"supsup.TaskData, got {type(task).__name__} without {', '.join(missing)}"
        )
    parse_name(task.name)
    parse_whole(f"task {task.name!r}: classes", task.classes)
    class_names_of(task)
    parse_whole(f"task {task.name!r}: train_size", task.train_size, least=0)
    _check_some(task)
    return task


def check_tasks(tasks: TaskData | Iterable[TaskData]) -> Iterable[TaskData]:
    """One task or several as several, each checked: those of a sequence now, others as they come.

    Raises:
        InvalidInput: they are no tasks.
    """
    if isinstance(tasks, TaskData):
        return [check_task(tasks)]
    _refuse_data(tasks)
    if isinstance(tasks, str) or not isinstance(tasks, Iterable):
        raise InvalidInput(f"tasks: expected a task or several, got {tasks!r:.80}")
    each = map(check_task, tasks)
    return list(each) if isinstance(tasks, Sequence) else each


def _refuse_data(given: object) -> None:
    """What a task is made of, given in the place of a task."""
    pair = given if isinstance(given, tuple) else (given,)
    if isinstance(given, DataLoader):
        kind, parts = "LoaderTask", "train=LOADER, test=LOADER"
    elif isinstance(given, Dataset):
        kind, parts = "DatasetTask", "train=DATASET, test=DATASET"
    elif pair and all(isinstance(each, Tensor | np.ndarray) for each in pair):
        kind, parts = "TensorTask", "train=(x, y), test=(x, y)"
    else:
        return
    raise InvalidInput(
        f"tasks: expected a task or several, got data ({type(pair[0]).__name__}); make a task of "
        f"it: {kind}(NAME, {parts}, classes=COUNT)"
    )


def _check_some(task: TaskData) -> None:
    if not task.train_size:
        loaded = isinstance(task, LoaderTask)
        found = "its loader gives no training batches" if loaded else "no training images"
        raise InvalidInput(f"task {task.name!r}: {found}")


def train_batch(task: TaskData, indices: Int64[Tensor, " batch"]) -> Batch:
    """The training images of those indices, and their labels.

    NaN and infinity are not looked for: that would wait for the device at every step, and the loss
    tells.

    Raises:
        InvalidInput: labels or inputs cannot be used, or are not as many as the indices.
    """
    pair = task.train_batch(indices)
    if isinstance(task, ParsedTask):
        return pair
    x, y = parse_batch(pair, f"task {task.name!r}: train", task.classes, finite=False)
    if len(y) != len(indices):
        raise InvalidInput(
            f"task {task.name!r}: asked for {len(indices)} train images, it gave {len(y)}"
        )
    return x, y


def train_images(
    task: TaskData, indices: Int64[Tensor, " batch"]
) -> tuple[Tensor, Int64[Tensor, " batch"]]:
    """:func:`train_batch` for who takes one tensor of images; raises InvalidInput on several."""
    x, y = train_batch(task, indices)
    return one_tensor(x, f"task {task.name!r}"), y


def test_batches(task: TaskData, size: int, *, finite: bool) -> Iterator[Batch]:
    """All test images in the task's order, ``size`` at a time, the last batch as it comes.

    Args:
        finite: whether NaN and infinity are looked for.

    Raises:
        InvalidInput: labels or inputs cannot be used.
    """
    for pair in task.test_batches(size):
        if isinstance(task, ParsedTask):
            yield pair
        else:
            yield parse_batch(pair, f"task {task.name!r}: test", task.classes, finite=finite)


def permuted_test_batches(task: TaskData, size: int) -> Iterator[Batch]:
    """All test images in one seeded order, which depends on their number only.

    Test sets are often sorted by class, and a network that takes statistics of the batch loses the
    class in a batch that has no other. Tasks that cannot give any image by its number are read
    into memory.

    Raises:
        InvalidInput: labels or inputs cannot be used.
    """
    if isinstance(task, IndexedTask):
        order = torch.from_numpy(permutation(0, "evaluation", task.test_size))
        for indices in order.to(task.device).split(size):
            yield task.test_batch(indices)
        return
    if (whole := join_batches(test_batches(task, size, finite=True))) is None:
        return
    order = torch.from_numpy(permutation(0, "evaluation", len(whole[1])))
    yield from split_batch(rows_of(whole, order.to(whole[1].device)), size)
