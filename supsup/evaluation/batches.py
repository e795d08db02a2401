"""The batches of a test set in which a network is evaluated."""

from collections.abc import Iterable, Iterator
from itertools import chain

from supsup.networks.backbone import Backbone
from supsup.networks.probe import probe, require_neighbours
from supsup.tasks.batch import Batch, join_batches
from supsup.tasks.checked import permuted_test_batches, test_batches
from supsup.tasks.protocol import TaskData


def evaluation_batches(backbone: Backbone, task: TaskData, size: int) -> Iterator[Batch]:
    """All test images of a task, ``size`` at a time, in the order that is fair to the network.

    That is the task's own where each image is answered by itself. A network that takes statistics
    of the batch gets the images mixed, always in the same way (:func:`permuted_test_batches`): in
    a test set sorted by class a batch would hold one class, and normalisation takes that away. A
    rest smaller than half a batch joins the batch before.

    Raises:
        InvalidInput: labels or inputs cannot be used, or the network does not take them, or only
            beside others, and there is one.
    """
    batches = test_batches(task, size, finite=True)
    if (first := next(batches, None)) is None:
        return
    # What the network is not fit for is said first.
    if probe(backbone, first[0]).mixes_images:
        for batch in whole_batches(permuted_test_batches(task, size), size):
            require_neighbours(backbone, batch[0])
            yield batch
    else:
        yield from whole_batches(chain([first], batches), size)


def whole_batches(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The same images in the same order, a small last batch joined to the one before it."""
    held: Batch | None = None
    for batch in batches:
        if held is not None and len(batch[1]) * 2 < size:
            batch = join_batches([held, batch]) or batch
        elif held is not None:
            yield held
        held = batch
    if held is not None:
        yield held
