"""The tasks of an archive: their data, remade from the recipes that it keeps."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from os import PathLike

from maskstore import MaskArchive, StoredTask
from maskstore.errors import InvalidInput, TaskNotFound
from supsup.archives.classes import classes_of, require_classes
from supsup.datasets import ImageSet, load
from supsup.datasets.own_data import read_own
from supsup.evaluation.score import Skipped
from supsup.tasks import Task, TaskRecipe, make_task
from supsup.tasks.checked import check_task
from supsup.tasks.fingerprint import Fingerprint
from supsup.tasks.protocol import TaskData
from supsup.tasks.subset import named
from supsup.training.metadata import TaskMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A mask and the data to evaluate it on."""

    stored: StoredTask
    task: TaskData


def tasks_of(archive: MaskArchive, data_dir: str | PathLike[str] | None = None) -> Iterator[Task]:
    """Remake the task of every mask, from the recipes that the archive keeps, under its name there.

    Raises:
        InvalidInput: a mask has no recipe, or its data set is not at hand.
    """
    stored = list(archive)
    remade = remake((recipe_of(archive, each) for each in stored), data_dir)
    for each, task in zip(stored, remade, strict=True):
        yield task if task.name == each.name else replace(task, called=each.name)


def remake(
    recipes: Iterable[TaskRecipe],
    data_dir: str | PathLike[str] | None,
    *,
    own: "OwnImages | None" = None,
) -> Iterator[Task]:
    """The tasks of those recipes, each data set loaded once.

    Args:
        data_dir: folder of the data files; of a user's own images their path.
        own: what has been read of the user's own images.

    Raises:
        InvalidInput: data are not at hand, or others than the recipe is of.
    """
    own = own or OwnImages(data_dir)
    datasets: dict[str, ImageSet] = {}
    for recipe in recipes:
        if recipe.own is not None:
            yield make_task(recipe, own.of(recipe, recipe.name))
            continue
        if recipe.dataset not in datasets:
            datasets[recipe.dataset] = load(recipe.dataset, data_dir)
        yield make_task(recipe, datasets[recipe.dataset])


class OwnImages:
    """A user's own images at a path, read once for each data set that recipes are of.

    Attributes:
        others: what images at the path differ in from those of a recipe; None where they do not.
    """

    def __init__(self, path: str | PathLike[str] | None, *, force: bool | None = None) -> None:
        """Nothing is read yet.

        Args:
            force: whether others than those of a recipe will do; None where they never do.
        """
        self._path, self._force = path, force
        self.others: InvalidInput | None = None
        self._read: dict[str, ImageSet | InvalidInput] = {}

    def of(self, recipe: TaskRecipe, name: str) -> ImageSet:
        """Those of the recipe of a task; raises InvalidInput where there are none, or others.

        Args:
            name: of the task, for errors.
        """
        key = f"{recipe.dataset}{recipe.own and recipe.own.to_json()}"
        if key not in self._read:
            try:
                self._read[key] = self._images(recipe, name)
            except InvalidInput as error:
                self._read[key] = error
        found = self._read[key]
        if isinstance(found, InvalidInput):
            raise found
        return found

    def _images(self, recipe: TaskRecipe, name: str) -> ImageSet:
        assert recipe.own is not None
        if self._path is None:
            raise InvalidInput(
                f"task {name!r}: its images are the user's own; name their folder, .zip or "
                ".npz with --data"
            )
        found = read_own(self._path, kept=recipe.own)
        difference = recipe.own.difference(found.source)
        if difference is not None and not self._force:
            otherwise = "" if self._force is None else ", or --force to evaluate on these"
            self.others = InvalidInput(
                f"{self._path}: not the images that task {name!r} was trained on "
                f"({difference}); name those{otherwise}"
            )
            raise self.others
        return found.images


def usable(archive: MaskArchive) -> tuple[list[StoredTask], list[Skipped]]:
    """The masks whose classes are known, and the others, which no inference can use.

    Raises:
        InvalidInput: there are masks, and not one can be used.
    """
    stored = list(archive)
    good = [each for each in stored if classes_of(each) is not None]
    bad = [
        Skipped(name=each.name, reason="added by hand without the number of its classes")
        for each in stored
        if classes_of(each) is None
    ]
    if bad and not good:
        require_classes(archive, archive.task(bad[0].name))
    return good, bad


def evaluable(
    archive: MaskArchive,
    data_dir: str | PathLike[str] | None,
    names: Collection[str] | None = None,
    *,
    force: bool | None = None,
) -> tuple[Iterator[Found], list[Skipped]]:
    """The masks whose data can be remade, one by one, and those that cannot be evaluated alone.

    Args:
        names: only these; None for all.
        force: see :class:`OwnImages`.

    Raises:
        InvalidInput: there are masks, and the data of none can be remade; with the first one, its
            data set is not at hand.
    """
    good, skipped = [], []
    reasons: list[InvalidInput] = []
    own = OwnImages(data_dir, force=force)
    for stored in archive if names is None else map(archive.task, names):
        try:
            recipe = recipe_of(archive, stored)
            if recipe.own is not None:
                own.of(recipe, stored.name)
        except InvalidInput as error:
            metadata = TaskMetadata.of(stored)
            why = "added by hand"
            if metadata.task:
                why = str(error)
            elif metadata.data is not None:
                why = "its data are the user's own: hand them over"
            skipped.append(Skipped(name=stored.name, reason=why))
            reasons.append(error)
            continue
        good.append((stored, recipe))
    if own.others is not None and not any(recipe.own for _, recipe in good):
        raise own.others
    if skipped and not good:
        raise reasons[-1]

    def found() -> Iterator[Found]:
        remade = remake((recipe for _, recipe in good), data_dir, own=own)
        for (stored, _), task in zip(good, remade, strict=True):
            yield Found(stored=stored, task=named(task, stored.name))

    return found(), skipped


def handed_over(
    archive: MaskArchive, tasks: Iterable[TaskData], *, force: bool = False
) -> list[Found]:
    """The mask of each task: the one that was trained on its data, or else that has its name.

    Args:
        force: also where the data are not those that the mask of that name was trained on.

    Raises:
        TaskNotFound: neither is there.
        InvalidInput: the data are others, and what they differ in.
    """
    pairs: list[Found] = []
    by_recipe: dict[str, list[str]] = {}
    about = {stored.name: TaskMetadata.of(stored) for stored in archive}
    for name, metadata in about.items():
        if metadata.task:
            by_recipe.setdefault(json.dumps(metadata.task, sort_keys=True), []).append(name)
    for task in map(check_task, tasks):
        if task.recipe is not None:
            same = by_recipe.get(json.dumps(task.recipe.to_json(), sort_keys=True), [])
            difference = "another recipe"
        else:
            mine = Fingerprint.of(task)
            same = [n for n, m in about.items() if m.data and not m.data.difference(mine)]
            own = about[task.name].data if task.name in about else None
            difference = "recipe" if own is None else str(own.difference(mine))
        if task.name not in about and not same:
            raise TaskNotFound(
                f"{archive.path}: no mask was trained on the data of task {task.name!r}, and none "
                "has its name"
            )
        if task.name in about and not same and not force and _knows(about[task.name]):
            raise InvalidInput(
                f"{archive.path}: the mask {task.name!r} was trained on other data ({difference}); "
                "give those, or force=True to evaluate it on these"
            )
        name = task.name if task.name in (same or about) else same[0]
        pairs.append(Found(stored=archive.task(name), task=named(task, name)))
    return pairs


def _knows(metadata: TaskMetadata) -> bool:
    """Whether a mask says what it was trained on."""
    return metadata.data is not None or bool(metadata.task)


def sources_of(archive: MaskArchive, stored: StoredTask) -> list[TaskRecipe]:
    """The tasks whose batches a mask was given (:mod:`supsup.task_free`), or the one it is for."""
    sources = TaskMetadata.of(stored).sources
    if sources is None:
        return [recipe_of(archive, stored)]
    return [TaskRecipe.from_json(source.task) for source in sources]


def recipe_of(archive: MaskArchive, stored: StoredTask) -> TaskRecipe:
    """The recipe that a mask was kept with; raises InvalidInput where it has none."""
    recipe = TaskMetadata.of(stored).task
    if not recipe and TaskMetadata.of(stored).data is not None:
        raise InvalidInput(
            f"{archive.path}: task {stored.name!r} was trained on the user's own data, which "
            "nothing remakes, so it cannot be evaluated without them; hand them over, "
            "evaluate_archive(archive, backbone, tasks=[…])"
        )
    if not recipe:
        raise InvalidInput(
            f"{archive.path}: task {stored.name!r} was added without the recipe of its data, "
            "so it cannot be evaluated without them; hand them over, SupSup.evaluate(task)"
        )
    return TaskRecipe.from_json(recipe)


def accuracy_of(archive: MaskArchive, stored: StoredTask) -> float:
    """The accuracy that training measured; raises InvalidInput where none is kept."""
    found = TaskMetadata.of(stored).accuracy
    if found is None:
        raise InvalidInput(
            f"{archive.path}: task {stored.name!r} was added without its accuracy on test images; "
            "masks made by `supsup-store train` have one"
        )
    return found
