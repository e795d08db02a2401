"""Prototypes in an archive: each task's means beside its mask, what all share beside the archive.

The covariance is written anew only when it pays: at the end of a run that brings an eighth as many
tasks as are in it, and in a long run when they have doubled. In between, tasks are answered for by
the covariance of those before them. A removed task's share stays in the sum; its name leaves with
its mask.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8

from maskstore.archive import MaskArchive
from maskstore.errors import CorruptArchive, InvalidInput
from supsup.choices import PROTOTYPES_SET
from supsup.inference.prototypes.features import FeatureRecipe, Features
from supsup.inference.prototypes.model import PrototypeModel
from supsup.inference.prototypes.statistics import ClassMeans, PooledCovariance, key_of, measure
from supsup.networks.backbone import Backbone
from supsup.networks.statistics import PROTOTYPES
from supsup.tasks.arrays import Inputs
from supsup.tasks.checked import train_batch
from supsup.tasks.protocol import TaskData

MEANS = PROTOTYPES
"""A task's tensor: see :meth:`ClassMeans.encode`."""

_BATCH = 1024
_TASKS_A_COMMIT = 256


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
                _write(archive, recipe, known)
        pending.clear()

    try:
        for task in tasks:
            stored = archive.task(task.name)
            if found is not None and any(each.name == MEANS for each in stored.tensors):
                continue
            means, steps = measure(
                _featured(task, features), classes=task.classes, size=recipe.size, task=task.name
            )
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


def _write(archive: MaskArchive, recipe: FeatureRecipe, covariance: PooledCovariance) -> None:
    archive.set_shared_tensors(PROTOTYPES_SET, _shared_set(recipe, covariance))


def _shared_set(recipe: FeatureRecipe, covariance: PooledCovariance) -> dict[str, np.ndarray]:
    text = json.dumps(recipe.to_json(), sort_keys=True).encode()
    return {
        "features": np.frombuffer(text, np.uint8),
        "covariance": covariance.total,
        "tasks": np.array(sorted(covariance.tasks), np.int64),
    }


def _featured(
    task: TaskData, features: Features
) -> Iterator[tuple[Float32[np.ndarray, "batch feature"], Int64[np.ndarray, " batch"]]]:
    for indices in torch.arange(task.train_size, dtype=torch.int64, device=task.device).split(
        _BATCH
    ):
        x, y = train_batch(task, indices)
        yield features(x), y.cpu().numpy()


def join_prototypes(sources: Sequence[MaskArchive]) -> dict[str, np.ndarray]:
    """What archives that are merged share then: the sum over the tasks of all, as far as none
    counts twice (:meth:`PooledCovariance.joined`).

    Raises:
        InvalidInput: they are of different features, whose means say nothing beside each other.
        CorruptArchive: one's statistics cannot be read.
    """
    first = stored_recipe(sources[0])
    assert first is not None
    total = PooledCovariance.empty(first.size)
    for source in sources:
        recipe = stored_recipe(source)
        assert recipe is not None
        if recipe != first:
            raise InvalidInput(
                f"{source.path}: prototypes of features {recipe.to_json()}, those of "
                f"{sources[0].path} are of {first.to_json()}; measure one of them anew "
                "(`supsup-store prototypes ARCHIVE --rebuild`) with the features of the other"
            )
        total = total.joined(stored_covariance(source, recipe.size))
    return _shared_set(first, total)


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

    def log_likelihoods(self, x: Inputs) -> Float64[np.ndarray, "batch task"]:
        """log p(x | task) of each image, up to what is the same for all tasks."""
        return self.model.task_scores(self._features(x))
