"""A family by name together with its images: of a data set that is known, or of a user's own."""

from os import PathLike
from typing import Any

from maskstore.errors import InvalidInput
from supsup.datasets import ImageSet, load, read_own
from supsup.tasks.families.base import Options
from supsup.tasks.recipe import TaskRecipe, is_own, own_family, task_family


def load_family(
    name: str,
    n: int | None = None,
    *,
    seed: int = 0,
    options: Options | None = None,
    prefix: str | None = None,
    data: str | PathLike[str] | None = None,
    size: int | None = None,
    **how: Any,
) -> tuple[list[TaskRecipe], ImageSet]:
    """Recipes of the first tasks of a family, and the images that they are made of.

    Args:
        name, n, seed, options, prefix: as :func:`supsup.tasks.task_family`, or of ``split-folder``
            and the like.
        data: folder of the data set's files; of a user's own images their folder, .zip or .npz.
        size: height and width that a user's own pictures are scaled to.
        how: of :func:`supsup.datasets.load`.

    Raises:
        InvalidInput: no such family; own images of which nobody said where they are, or that cannot
            be read; or a size of pictures that have one.
    """
    if is_own(name):
        if data is None:
            raise InvalidInput(
                f"{name}: of your own images; say where they are (--data PATH, in Python data=…)"
            )
        own = read_own(data, size=size)
        return own_family(name, own.source, n, seed, options, prefix), own.images
    if size is not None:
        raise InvalidInput(f"size: {name} has pictures of one size; leave it out")
    recipes = task_family(name, n, seed, options, prefix)
    return recipes, load(recipes[0].dataset, data, **how)
