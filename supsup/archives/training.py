"""Training into an archive: what is still to be done, and each mask as soon as it is there."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput, TaskExists
from maskstore.packed import StoredTask
from supsup.archives.other_tasks import others_for
from supsup.archives.score_sums import ScoreSums
from supsup.archives.storing import append
from supsup.datasets.own_source import OwnSource
from supsup.errors import TrainingDiverged
from supsup.networks.backbone import Backbone
from supsup.tasks import TaskRecipe
from supsup.tasks.fingerprint import Fingerprint
from supsup.tasks.protocol import TaskData
from supsup.training.as_iterated import as_iterated
from supsup.training.config import OMITTED, TrainConfig
from supsup.training.loop import Progress, outcomes
from supsup.training.metadata import TaskMetadata
from supsup.training.outliers import check_spare
from supsup.training.workers import Waker


def check_classes(
    recipes: Sequence[TaskRecipe], outputs: int, *, outliers: str | None = None
) -> None:
    """Raise InvalidInput where a task has more classes than a network of ``outputs`` outputs.

    Args:
        outliers: the kind of outliers that need outputs more; None where there are none.
    """
    for recipe in recipes:
        if outliers is not None:
            check_spare(recipe.name, recipe.class_count, outputs, outliers)
        if recipe.class_count > outputs:
            raise InvalidInput(
                f"task {recipe.name!r} has {recipe.class_count} classes, the network {outputs} "
                f"outputs; make the archive with --outputs {recipe.class_count} or more"
            )


def missing_tasks(
    archive: MaskArchive, recipes: Sequence[TaskRecipe], config: TrainConfig, *, resume: bool
) -> list[TaskRecipe]:
    """The tasks still to be trained.

    Args:
        recipes: where they have a prefix, a task is there if its name is, whatever other names the
            same data were trained under; ``resume`` then also knows what was renamed since.
        resume: skip the tasks that are there, whatever their names, provided they were trained the
            same way.

    Raises:
        TaskExists: a task is there and ``resume`` is off.
        InvalidInput: a task is there but was trained on other data or with other settings.
    """
    trained_on = _by_recipe(archive, _key)
    own = resume and any(recipe.own is not None for recipe in recipes)
    but_for_images = _by_recipe(archive, _key_but_for_images) if own else {}
    missing = []
    for recipe in recipes:
        same = trained_on.get(_key(recipe.to_json()), [])
        if recipe.prefix is not None:
            same = _under_names(same, recipe, config if resume else None)
        stored = _preferred(same, recipe.name)
        if stored is None and recipe.name in archive:
            stored = archive.task(recipe.name)
        if stored is None and resume and recipe.prefix is None:
            # A renamed one of the same folder, which has changed: told, not trained beside it.
            stored = next(iter(but_for_images.get(_key_but_for_images(recipe.to_json()), [])), None)
        if stored is None:
            missing.append(recipe)
        elif not resume:
            raise TaskExists(
                f"{archive.path}: task {stored.name!r} is there already; "
                "go on with --resume to skip what is there, or remove it first"
            )
        else:
            _check_same(archive, stored, "task", recipe.to_json())
            _check_same(archive, stored, "training", config.to_json())
    return missing


def to_train(
    archive: MaskArchive, tasks: Iterable[TaskData], config: TrainConfig
) -> Iterator[TaskData]:
    """The tasks on whose data no mask was trained yet.

    Raises:
        InvalidInput: one was, with other settings.
    """
    trained_on = _by_recipe(archive, _key)
    own = [
        (stored, data) for stored in archive if (data := TaskMetadata.of(stored).data) is not None
    ]
    for task in tasks:
        if task.recipe is not None:
            same = trained_on.get(_key(task.recipe.to_json()), [])
            if isinstance(task.recipe, TaskRecipe) and task.recipe.prefix is not None:
                same = _under_names(same, task.recipe, config)
        else:
            mine = Fingerprint.of(task) if own else None
            same = [each for each, data in own if mine and data.difference(mine) is None]
        stored = _preferred(same, task.name)
        if stored is None:
            yield task
        else:
            _check_same(archive, stored, "training", config.to_json())


def _by_recipe(
    archive: MaskArchive, key: Callable[[Mapping[str, Any]], str]
) -> dict[str, list[StoredTask]]:
    found: dict[str, list[StoredTask]] = {}
    for stored in archive:
        if recipe := TaskMetadata.of(stored).task:
            found.setdefault(key(recipe), []).append(stored)
    return found


def _under_names(
    same: list[StoredTask], recipe: TaskRecipe, config: TrainConfig | None
) -> list[StoredTask]:
    """Of masks of a recipe's data those that are meant where the user gave the names, which keep
    trainings of the same data apart: of its name, or trained alike by ``config`` and renamed."""
    return [
        each
        for each in same
        if each.name == recipe.name or (config is not None and _trained_alike(each, config))
    ]


def _preferred(same: list[StoredTask], name: str) -> StoredTask | None:
    """Of masks of the same data the one of that name, or the first."""
    return next((each for each in same if each.name == name), same[0] if same else None)


def _key(recipe: Mapping[str, Any]) -> str:
    return json.dumps(recipe, sort_keys=True)


def _key_but_for_images(recipe: Mapping[str, Any]) -> str:
    """Of a task of the user's own images whatever is in their folder."""
    return _key({**recipe, "own": "own" in recipe})


def _whole(training: Mapping[str, Any]) -> dict[str, Any]:
    """With fields younger than the mask, and those that are left out where they say nothing."""
    return OMITTED | TrainConfig.from_json(training).to_json()


def _trained_alike(stored: StoredTask, config: TrainConfig) -> bool:
    found = TaskMetadata.of(stored).training
    return found is not None and _whole(found) == OMITTED | config.to_json()


def _check_same(
    archive: MaskArchive, stored: StoredTask, what: str, wanted: Mapping[str, Any]
) -> None:
    """Raise InvalidInput where a mask's ``task`` or ``training`` is not the wanted one."""
    there = TaskMetadata.of(stored)
    found = there.task if what == "task" else there.training
    if what == "training" and found:
        found, wanted = _whole(found), OMITTED | dict(wanted)
    for key, value in wanted.items():
        if (found or {}).get(key) != value:
            if key == "own" and found and (name := found.get("dataset")) and found.get(key):
                kept, other = (OwnSource.from_json(name, each) for each in (found[key], value))
                raise InvalidInput(
                    f"{archive.path}: task {stored.name!r} was trained on other images "
                    f"({kept.difference(other)}); resume with the same, or use another archive"
                )
            raise InvalidInput(
                f"{archive.path}: task {stored.name!r} was trained with "
                f"{what} {key} {(found or {}).get(key)!r}, asked for {value!r}; "
                "resume with the same settings, or use another archive"
            )


def train_into(
    archive: MaskArchive,
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    *,
    codec: str = "auto",
    parallel: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    diverged: Callable[[TrainingDiverged], None] | None = None,
    resume: bool = False,
    outliers_from: MaskArchive | None = None,
) -> list[StoredTask]:
    """Train all tasks now, and append each mask as soon as it is done.

    Arguments and errors are those of :func:`iter_train_into`, which gives each mask meanwhile.

    >>> from supsup import BackboneRecipe, build
    >>> from supsup.archives import create_archive
    >>> from supsup.datasets import load
    >>> from supsup.tasks import make_task, task_family
    >>> task = make_task(task_family("split-mnist-sample")[0], load("mnist-sample"))
    >>> backbone = build(BackboneRecipe(net="lenet-300-100", outputs=2))
    >>> with create_archive("trained.h5", backbone) as archive:
    ...     (stored,) = train_into(archive, backbone, [task], TrainConfig(steps=5))
    >>> stored.name, stored.bits
    ('split-mnist/0', 265400)
    """
    return list(
        iter_train_into(
            archive,
            backbone,
            tasks,
            config,
            codec=codec,
            parallel=parallel,
            progress=progress,
            diverged=diverged,
            resume=resume,
            outliers_from=outliers_from,
        )
    )


@as_iterated("train_into does it at once")
def iter_train_into(
    archive: MaskArchive,
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    *,
    codec: str = "auto",
    parallel: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    diverged: Callable[[TrainingDiverged], None] | None = None,
    resume: bool = False,
    outliers_from: MaskArchive | None = None,
) -> Generator[StoredTask, None, None]:
    """Train each task and append its mask as soon as it is done, durable when it is yielded.

    Nothing is trained before the first mask is asked for, and only a few tasks ahead of what is.
    Masks are coded on threads of their own (:mod:`supsup.archives.storing`), so that training does
    not wait; the file is the same, byte for byte, as if each were added before the next is trained.

    Args:
        parallel, progress, diverged: as in :func:`supsup.train`. On a GPU ``parallel`` is by
            default what the archive's last mask was trained with: bits may depend on it.
        resume: skip the tasks whose data a mask was trained on already, by their recipe or
            fingerprint, whatever their names; the settings must be the same.
        outliers_from: whose prototypes gaussian outliers are drawn from; None for those that the
            archive has now.

    With transfer, all tasks of the archive are the earlier ones. Where it is of scores, these are
    kept in a file beside the archive (:mod:`supsup.archives.score_sums`), for the tasks to come.

    Raises:
        TrainingDiverged, ArchiveWriteError: the tasks yielded so far are kept, and they are all
            that come before the one that failed.
        TaskExists: a name is taken, said before the task is trained, and of a sequence of tasks
            before any is.
        DigestMismatch: the archive's masks are of another backbone's weights.
        InvalidInput: with transfer of scores, that file is lost or another archive's; or a task
            that is there was trained in another way.
    """
    backbone.check_archive(archive)
    new = _with_new_names(archive, to_train(archive, tasks, config) if resume else tasks)
    left = iter(list(new) if isinstance(tasks, Sequence) else new)
    if (first := next(left, None)) is None:
        return
    sums = ScoreSums(archive) if config.transfer == "scores" else None
    before = list(archive) if config.transfer == "masks" else []
    if parallel is None and backbone.device.type != "cpu":
        parallel = tasks_in_step(archive)
    waker = Waker()
    given = outcomes(
        backbone,
        chain([first], left),
        config,
        parallel=parallel,
        earlier=sums.earlier if sums else (archive.get(task.name) for task in before),
        others=others_for(config, outliers_from or archive, backbone),
        progress=progress,
        waker=waker,
    )
    yield from append(archive, given, codec=codec, sums=sums, diverged=diverged, coded=waker.wake)


def _with_new_names(archive: MaskArchive, tasks: Iterable[TaskData]) -> Iterator[TaskData]:
    names = set(archive.names())
    for task in tasks:
        if task.name in names:
            raise TaskExists(
                f"{archive.path}: there is a task {task.name!r} already, so its mask could not be "
                "stored; give the new one another name, or remove that one first"
            )
        names.add(task.name)
        yield task


def tasks_in_step(archive: MaskArchive) -> int | None:
    """How many tasks shared a step when the last mask was trained; None where none did."""
    if not len(archive):
        return None
    *_, last = archive
    return TaskMetadata.of(last).rows
