"""The tasks of an archive: their data, remade from the recipes that it keeps."""

from collections.abc import Iterable, Iterator
from os import PathLike

from maskstore.archive import MaskArchive, StoredTask
from maskstore.errors import InvalidInput
from supsup.datasets import ImageSet, load
from supsup.tasks import Task, TaskRecipe, make_task
from supsup.training.metadata import TaskMetadata


def tasks_of(archive: MaskArchive, data_dir: str | PathLike[str] | None = None) -> Iterator[Task]:
    """Remake the task of every mask, from the recipes that the archive keeps.

    Raises:
        InvalidInput: a mask has no recipe, or its data set is not at hand.
    """
    return remake((recipe_of(archive, stored) for stored in archive), data_dir)


def remake(recipes: Iterable[TaskRecipe], data_dir: str | PathLike[str] | None) -> Iterator[Task]:
    """The tasks of those recipes, each data set loaded once."""
    datasets: dict[str, ImageSet] = {}
    for recipe in recipes:
        if recipe.dataset not in datasets:
            datasets[recipe.dataset] = load(recipe.dataset, data_dir)
        yield make_task(recipe, datasets[recipe.dataset])


def sources_of(archive: MaskArchive, stored: StoredTask) -> list[TaskRecipe]:
    """The tasks whose batches a mask was given (:mod:`supsup.task_free`), or the one it is for."""
    sources = TaskMetadata.of(stored).sources
    if sources is None:
        return [recipe_of(archive, stored)]
    return [TaskRecipe.from_json(source.task) for source in sources]


def recipe_of(archive: MaskArchive, stored: StoredTask) -> TaskRecipe:
    """The recipe that a mask was kept with; raises InvalidInput where it has none."""
    recipe = TaskMetadata.of(stored).task
    if not recipe:
        raise InvalidInput(
            f"{archive.path}: task {stored.name!r} was added without the recipe of its data, "
            "so it cannot be evaluated; masks made by `supsup-store train` have one"
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
