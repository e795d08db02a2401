"""Training one mask per task over one frozen backbone."""

from collections.abc import Callable, Generator, Iterable
from itertools import chain

import torch

from maskstore.errors import InvalidInput
from supsup.errors import TrainingDiverged
from supsup.networks.backbone import Backbone
from supsup.networks.modes import seeded_generators
from supsup.networks.probe import PROBED, require_neighbours, trainable
from supsup.tasks.batch import images_at
from supsup.tasks.checked import check_task, test_batches
from supsup.tasks.protocol import TaskData
from supsup.training.as_iterated import as_iterated
from supsup.training.config import TrainConfig
from supsup.training.drawn_images import OtherTasks, require_others
from supsup.training.outcome import Outcome, TrainedMask, trained_masks
from supsup.training.outliers import OUTLIER_KINDS
from supsup.training.plan import plan_for, precision_on
from supsup.training.progress import Progress
from supsup.training.transfer import EarlierScores, Masks, transfer_of
from supsup.training.workers import Waker, train_groups

__all__ = ["Progress", "TrainedMask", "train"]


@as_iterated("take list(train(…)), or SupSup.train, which also stores")
def train(
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    *,
    parallel: int | None = None,
    earlier: Iterable[Masks] | EarlierScores = (),
    others: OtherTasks | None = None,
    progress: Callable[[Progress], None] | None = None,
    diverged: Callable[[TrainingDiverged], None] | None = None,
) -> Generator[TrainedMask, None, None]:
    """Train a mask for each task, several at a time, and give each as soon as it is done, in order.

    Nothing is trained before the first mask is asked for; a call whose result is dropped warns.
    Tasks do not see each other: one trained alone is one trained among others. On the CPU not even
    the bits of a mask depend on ``parallel`` or on the number of cores, with one exception:
    ``parallel=1`` puts all cores on one task, and some kernels then add in another order. On a GPU
    bits may depend on ``parallel``, which the metadata keeps as ``together``.

    Args:
        tasks: taken one by one, a few ahead of what is given. Their data is asked for in other
            threads; each task from one thread only.
        parallel: tasks at a time. None: on the CPU one a core, each core with a task of its own; on
            a GPU as many as half of its free memory holds, by what the first task's activations
            and scores take. What turns out not to fit is halved.
        earlier: of the tasks before, where ``config`` transfers from them: their masks, or their
            scores (:class:`TrainedMask` has them). Tasks are then trained one after another.
        others: what outliers are drawn from, where ``config`` draws them from other tasks
            (:func:`supsup.archives.other_tasks.other_tasks` reads it).
        progress: called every few steps and at each task's end, in the caller's thread.
        diverged: told of each task that has no mask because its loss or scores are not finite; the
            others go on.

    Raises:
        InvalidInput: a task has no images, or more classes than the backbone has outputs; or
            ``parallel`` is above 1 with transfer.
        TrainingDiverged: no ``diverged`` is given, when the turn of such a task comes.

    >>> from supsup import BackboneRecipe, TensorTask, build
    >>> backbone = build(BackboneRecipe(net="lenet-300-100", outputs=2, options={"inputs": 1}))
    >>> task = TensorTask("sign", train=([[-1.0], [1.0]], [0, 1]), test=([[-1.0], [1.0]], [0, 1]))
    >>> (mask,) = train(backbone, [task], TrainConfig(steps=5, batch=2))
    >>> mask.name, mask.masks["fc1.weight"].shape, mask.masks["fc1.weight"].dtype
    ('sign', (300, 1), dtype('bool'))
    """
    given = outcomes(
        backbone,
        tasks,
        config,
        parallel=parallel,
        earlier=earlier,
        others=others,
        progress=progress,
    )
    yield from trained_masks(given, diverged)


def outcomes(
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    *,
    parallel: int | None = None,
    earlier: Iterable[Masks] | EarlierScores = (),
    others: OtherTasks | None = None,
    progress: Callable[[Progress], None] | None = None,
    waker: Waker | None = None,
) -> Generator[Outcome | None, None, None]:
    """What :func:`train` makes its masks of, for who has something else to do while it waits.

    Args:
        tasks, parallel, earlier, others, progress: as of :func:`train`, which says what is raised.
        waker: wakes the caller: None is given before the next outcome is there.
    """
    transfer = transfer_of(config, backbone.layout, earlier)
    if transfer is not None and parallel is not None and parallel != 1:
        raise InvalidInput(
            f"parallel: with transfer each task waits for those before it, got {parallel}; "
            "leave it out"
        )
    draws = OUTLIER_KINDS[config.outlier_kind].draws_others
    others = require_others(others) if draws else None
    left = map(check_task, tasks)
    if (first := next(left, None)) is None:
        return
    _check_heeded(backbone, config)
    _look_at(backbone, first, config)
    plan = plan_for(backbone, config, first, parallel if transfer is None else 1)
    todo = chain([first], left)
    with precision_on(backbone.device, config.precision):
        yield from train_groups(
            backbone, todo, config, plan, progress or _ignore, transfer, waker, others
        )


def _check_heeded(backbone: Backbone, config: TrainConfig) -> None:
    """Raise InvalidInput where settings are of parameters that no task has of its own."""
    given = (config.per_task_lr is not None, config.per_task_dtype != "float32")
    for name, said in zip(("per_task_lr", "per_task_dtype"), given, strict=True):
        if said and not backbone.own_parameters:
            raise InvalidInput(
                f"{name}: tasks of network {backbone.name} have no parameters of their own; name "
                f"some when the archive is made (--per-task), or leave {name} out"
            )


def _look_at(backbone: Backbone, task: TaskData, config: TrainConfig) -> None:
    """Raise InvalidInput where the network cannot be trained on such a task, before any is.

    Test images are looked at, as the training ones may come only in order; where there are none,
    training will say so. Loaders draw when they are asked: generators stay as they were.
    """
    with seeded_generators(torch.device("cpu"), 0):
        for x, _ in test_batches(task, PROBED, finite=False):
            trainable(backbone, x)
            if config.batch == 1:
                require_neighbours(backbone, images_at(x, slice(1)))
            break


def _ignore(progress: Progress) -> None:
    """Nobody asked."""
