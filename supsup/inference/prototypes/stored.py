"""Prototypes in an archive: each task's means beside its mask, what all share beside the archive.

The covariance is written anew only when it pays: at the end of a run that brings an eighth as many
tasks as are in it, and in a long run when they have doubled. In between, tasks are answered for by
the covariance of those before them. A removed task's share stays in the sum; its name leaves with
its mask. Where every image of a task is measured, none is left to say what is usual: a tenth of
them, at most 256, are kept back, and what the discriminant says of these decides what is strange.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import CorruptArchive, InvalidInput
from supsup.choices import PROTOTYPES_SET
from supsup.inference.prototypes.features import FeatureRecipe, Features
from supsup.inference.prototypes.model import PrototypeModel
from supsup.inference.prototypes.statistics import ClassMeans, PooledCovariance, key_of, measure
from supsup.inference.prototypes.strangers import UsualDistances
from supsup.networks.backbone import Backbone
from supsup.networks.statistics import PROTOTYPES
from supsup.tasks.arrays import Inputs
from supsup.tasks.checked import train_batch
from supsup.tasks.order import held_out_images
from supsup.tasks.protocol import TaskData

MEANS = PROTOTYPES
"""A task's tensor: see :meth:`ClassMeans.encode`."""

_BATCH = 1024
_TASKS_A_COMMIT = 256
_KEPT_BACK, _LEAST_KEPT_BACK, _KEPT_BACK_SHARE = 256, 20, 0.1
_TASKS_KEPT_BACK = 64
"""Tasks, the last measured, whose images decide what is usual: some 16 MB of features."""


def stored_recipe(archive: MaskArchive) -> FeatureRecipe | None:
    """The features that an archive's prototypes are of; None where it has none.

    Raises:
        CorruptArchive: of features that this release does not know.
    """
    shared = archive.shared_tensors(PROTOTYPES_SET)
    if not shared:
        return None
    try:
        return FeatureRecipe.from_json(json.loads(shared["features"].tobytes()))
    except (KeyError, ValueError, InvalidInput) as error:
        raise CorruptArchive(f"{archive.path}: prototypes of unknown features ({error})") from error


def stored_covariance(archive: MaskArchive, size: int) -> PooledCovariance:
    """The pooled covariance of an archive that has prototypes of so many features.

    Raises:
        CorruptArchive: it is of other features.
    """
    shared = archive.shared_tensors(PROTOTYPES_SET)
    total, tasks = shared.get("covariance"), shared.get("tasks")
    if total is None or tasks is None or total.shape != (size * (size + 1) // 2,):
        raise CorruptArchive(f"{archive.path}: a covariance of other than {size} features")
    return PooledCovariance(
        total=total.astype(np.int64), tasks=frozenset(int(key) for key in tasks)
    )


def whose_prototypes(archive: MaskArchive) -> dict[str, Any]:
    """What an archive's prototypes are of, as ``show`` tells it: the features, how many tasks have
    means and how many are in the covariance, of these how many whose masks are not here (any more).

    Raises:
        CorruptArchive: they cannot be read.
        InvalidInput: there are none.
    """
    recipe = stored_recipe(archive)
    if recipe is None:
        raise InvalidInput(f"{archive.path}: has no prototypes")
    summed = stored_covariance(archive, recipe.size).tasks
    return {
        "features": recipe.to_json(),
        "tasks": sum(any(each.name == MEANS for each in task.tensors) for task in archive),
        "in_covariance": len(summed),
        "in_covariance_and_not_here": len(summed - {key_of(task.sha256) for task in archive}),
    }


def stored_usual(archive: MaskArchive) -> UsualDistances | None:
    """What is usual for images of the tasks; None where that was not measured.

    Raises:
        CorruptArchive: it is no such thing.
    """
    values = archive.shared_tensors(PROTOTYPES_SET).get("usual")
    return None if values is None else UsualDistances.decode(values)


def add_prototypes(
    archive: MaskArchive,
    backbone: Backbone,
    tasks: Iterable[TaskData],
    recipe: FeatureRecipe | None = None,
    *,
    rebuild: bool = False,
    on_task: Callable[[str], None] = lambda name: None,
) -> int:
    """Measure the training images of tasks and keep the statistics with their masks.

    What was measured is kept where the run is stopped; one that is killed loses at most what came
    since the last commit, of which there is one at the end and one whenever tasks have doubled.

    Args:
        tasks: under the names that their masks have.
        recipe: of the features; None for those that the archive has, or the default.
        rebuild: begin anew: the prototypes that are there go, also of tasks that are not among
            these, as means of other features say nothing beside these.
        on_task: called with a task's name once it is measured.

    Returns:
        How many tasks were measured.

    Raises:
        InvalidInput: other features than the archive has, a layer that the network has not, or
            inputs without a projection.
        TaskNotFound: there is no mask of a task's name.
    """
    found = None if rebuild else stored_recipe(archive)
    if found is not None and recipe is not None and found != recipe:
        raise InvalidInput(
            f"{archive.path}: has prototypes of features {found.to_json()}, asked for "
            f"{recipe.to_json()}; take the same, or measure all tasks anew (--rebuild)"
        )
    recipe = found or recipe or FeatureRecipe()
    features = Features(recipe, backbone)
    written = stored_covariance(archive, recipe.size) if found else None
    before = 0 if written is None else len(written.tasks)
    known = written or PooledCovariance.empty(recipe.size)
    pending: dict[str, UInt8[np.ndarray, "label byte"]] = {}
    kept_back: deque[Float32[np.ndarray, "image feature"]] = deque(maxlen=_TASKS_KEPT_BACK)
    done = 0

    def keep() -> None:
        with archive.transaction():
            if rebuild and done == len(
                pending
            ):  # the first commit: no means of other features stay
                _forget_means(archive)
            for name, rows in pending.items():
                archive.set_tensors(name, archive.tensors(name) | {MEANS: rows})
            if 8 * (len(known.tasks) - before) >= before:
                usual = _measure_usual(archive, recipe, known, kept_back)
                archive.set_shared_tensors(PROTOTYPES_SET, _shared_set(recipe, known, usual))
        pending.clear()

    try:
        for task in tasks:
            stored = archive.task(task.name)
            if found is not None and any(each.name == MEANS for each in stored.tensors):
                continue
            back = _images_kept_back(task)
            means, steps = measure(
                _featured(task, features, back),
                classes=task.classes,
                size=recipe.size,
                task=task.name,
            )
            if len(back):
                kept_back.append(features(train_batch(task, back)[0]))
            own = PooledCovariance(total=steps, tasks=frozenset({key_of(stored.sha256)}))
            known = known.joined(own)
            pending[task.name] = means.encode()
            done += 1
            on_task(task.name)
            if len(pending) >= max(_TASKS_A_COMMIT, before):
                keep()
                before = len(known.tasks)
    finally:
        if pending:
            keep()
    return done


def _forget_means(archive: MaskArchive) -> None:
    for task in archive:
        if any(each.name == MEANS for each in task.tensors):
            others = archive.tensors(task.name)
            del others[MEANS]
            archive.set_tensors(task.name, others)


def _shared_set(
    recipe: FeatureRecipe, covariance: PooledCovariance, usual: UsualDistances | None
) -> dict[str, np.ndarray]:
    text = json.dumps(recipe.to_json(), sort_keys=True).encode()
    return {
        "features": np.frombuffer(text, np.uint8),
        "covariance": covariance.total,
        "tasks": np.array(sorted(covariance.tasks), np.int64),
    } | ({} if usual is None else {"usual": usual.encode()})


def _measure_usual(
    archive: MaskArchive,
    recipe: FeatureRecipe,
    covariance: PooledCovariance,
    kept_back: Iterable[Float32[np.ndarray, "image feature"]],
) -> UsualDistances | None:
    """By all means that the archive has now; what was usual before where no image was kept back."""
    images = list(kept_back)
    if not images:
        return stored_usual(archive)
    names = [task.name for task in archive if any(each.name == MEANS for each in task.tensors)]
    means = [ClassMeans.decode(archive.tensors(name)[MEANS], recipe.size) for name in names]
    model = PrototypeModel(means, covariance)
    found = [model.distances(each, model.task_scores(each).argmax(1)) for each in images]
    relative, near = (np.concatenate(each) for each in zip(*found, strict=True))
    return UsualDistances.of(relative, near)


def _images_kept_back(task: TaskData) -> Int64[Tensor, " image"]:
    """Of which training images no mean is; none where a class would be left without."""
    share = int(_KEPT_BACK_SHARE * task.train_size)
    count = min(share, _KEPT_BACK) if share >= _LEAST_KEPT_BACK else 0
    if count:
        back = held_out_images(0, task.name, task.train_size, count).to(task.device)
        _, labels = train_batch(task, _others(task, back))
        if len(labels.unique()) == task.classes:
            return back
    return torch.empty(0, dtype=torch.int64, device=task.device)


def _others(task: TaskData, indices: Int64[Tensor, " image"]) -> Int64[Tensor, " other"]:
    every = torch.arange(task.train_size, dtype=torch.int64, device=task.device)
    return every[~torch.isin(every, indices)]


def _featured(
    task: TaskData, features: Features, without: Int64[Tensor, " image"]
) -> Iterator[tuple[Float32[np.ndarray, "batch feature"], Int64[np.ndarray, " batch"]]]:
    for indices in _others(task, without).split(_BATCH):
        x, y = train_batch(task, indices)
        yield features(x), y.cpu().numpy()


def join_prototypes(sources: Sequence[MaskArchive]) -> dict[str, np.ndarray]:
    """What archives that are merged share then: the sum over the tasks of all, as far as none
    counts twice (:meth:`PooledCovariance.joined`), and what is usual in the one of most tasks.

    Raises:
        InvalidInput: they are of different features, whose means say nothing beside each other.
        CorruptArchive: one's statistics cannot be read.
    """
    first = stored_recipe(sources[0])
    assert first is not None
    total, most = PooledCovariance.empty(first.size), 0
    usual: UsualDistances | None = None
    for source in sources:
        recipe = stored_recipe(source)
        assert recipe is not None
        if recipe != first:
            raise InvalidInput(
                f"{source.path}: prototypes of features {recipe.to_json()}, those of "
                f"{sources[0].path} are of {first.to_json()}; measure one of them anew "
                "(`supsup-store prototypes ARCHIVE --rebuild`) with the features of the other"
            )
        own = stored_covariance(source, recipe.size)
        total = total.joined(own)
        if len(own.tasks) > most and (found := stored_usual(source)) is not None:
            usual, most = found, len(own.tasks)
    return _shared_set(first, total, usual)


def has_prototypes(archive: MaskArchive, names: Iterable[str]) -> bool:
    """Whether all of these tasks have prototypes."""
    if PROTOTYPES_SET not in archive.shared:
        return False
    return all(any(each.name == MEANS for each in archive.task(name).tensors) for name in names)


class TaskPrototypes:
    """Who has data like these, among the tasks of an archive.

    Attributes:
        names: the tasks.
        recipe: of the features.
        model: the discriminant, tasks in that order.
        usual: what images of the tasks are like; None where that was not measured.
    """

    def __init__(
        self, archive: MaskArchive, backbone: Backbone, names: Sequence[str] | None = None
    ) -> None:
        """Read the prototypes of ``names``, by default of all tasks.

        Raises:
            InvalidInput: the archive has none, or not for every task.
        """
        recipe = stored_recipe(archive)
        if recipe is None:
            raise InvalidInput(
                f"{archive.path}: has no prototypes; add them with `supsup-store prototypes`"
            )
        self.names = list(archive.names() if names is None else names)
        means = []
        for name in self.names:
            tensors = archive.tensors(name)
            if MEANS not in tensors:
                raise InvalidInput(
                    f"{archive.path}: task {name!r} has no prototypes; add them with "
                    "`supsup-store prototypes`"
                )
            means.append(ClassMeans.decode(tensors[MEANS], recipe.size))
        self.recipe = recipe
        self._features = Features(recipe, backbone)
        self.model = PrototypeModel(means, stored_covariance(archive, recipe.size))
        self.usual = stored_usual(archive)

    def log_likelihoods(self, x: Inputs) -> Float64[np.ndarray, "batch task"]:
        """log p(x | task) of each image, up to what is the same for all tasks."""
        return self.model.task_scores(self._features(x))

    def strangeness(
        self, x: Inputs, tasks: Int64[np.ndarray, " batch"]
    ) -> Float64[np.ndarray, " batch"] | None:
        """Of each image beside those of the task found for it: 0 in their mean, and 95% of them
        are not above 1; None where it is not known what is usual."""
        if self.usual is None:
            return None
        return self.usual.strangeness(*self.model.distances(self._features(x), tasks))
