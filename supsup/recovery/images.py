"""Unlabelled images to recover a mask from: a file of them, or of a task that a name remakes."""

from os import PathLike
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from maskstore import InvalidInput
from supsup.archives.tasks import remake
from supsup.datasets.inputs import load_inputs, read_own_images
from supsup.recovery.mask_memory import MaskMemory
from supsup.tasks import TaskRecipe, is_own, own_family, task_family
from supsup.tasks.subset import hold_out


def recovery_images(
    known: MaskMemory,
    *,
    data: str | PathLike[str] | None = None,
    dataset: str | None = None,
    task: str | None = None,
) -> Float[Tensor, "image ..."]:
    """Images, normalised as those that the masks were trained on.

    Args:
        data: a file of them (:func:`supsup.datasets.inputs.load_inputs`), or a folder of pictures;
            with ``dataset``, the folder of its files, or a user's own images.
        dataset: a family of tasks, with ``task``: half of that task's test images.

    Raises:
        InvalidInput: neither way is said, or the images are not at hand.
    """
    data = None if data is None else Path(data)
    if dataset is not None and task is not None:
        assert known.backbone.recipe is not None
        (made,) = remake([find_recipe(known, dataset, task)], data)
        return hold_out(made, seed=known.backbone.recipe.seed)[0]
    if dataset is not None or task is not None or data is None:
        raise InvalidInput("recover: say which images, either --data FILE or --dataset with --task")
    recipe = known.data_recipe
    if recipe.own is not None:
        return read_own_images(data, recipe.own).images
    return load_inputs(data, recipe.dataset)


def find_recipe(known: MaskMemory, dataset: str, name: str) -> TaskRecipe:
    """The recipe of a task by name: the memory's own, or one of the family that it never saw.

    Raises:
        InvalidInput: the family has no such task.
    """
    for task in known.tasks:
        if task.name == name and task.recipe is not None:
            recipe = TaskRecipe.from_json(task.recipe)
            if dataset == recipe.family_name:
                return recipe
    _, _, number = name.rpartition("/")
    assert known.backbone.recipe is not None
    if number.isdecimal():
        seed, count = known.backbone.recipe.seed, int(number) + 1
        if is_own(dataset):
            source = known.data_recipe.own
            family = [] if source is None else own_family(dataset, source, count, seed)
        else:
            family = task_family(dataset, count, seed=seed)
        if family and family[-1].name == name:
            return family[-1]
    raise InvalidInput(f"task {name!r}: {dataset} has none of that name; write it as NAME/NUMBER")
