"""Stored training images: which may be kept, how many of a class, and how they are numbered."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.tasks.checked import train_images
from supsup.tasks.loader_task import LoaderTask
from supsup.tasks.protocol import TaskData

AT_A_TIME = 512
"""Training images that are looked at together."""

Exemplars = Mapping[str, list[Tensor]]
"""Of each task, the images of each class, best first."""


def images_a_class(method: str, task: TaskData, memory: int, earlier: int) -> int:
    """How many images each class may keep when the task is learnt.

    Args:
        memory: images in all.
        earlier: classes of the tasks before.

    Raises:
        InvalidInput: fewer than one, or the task has no images by number.
    """
    if isinstance(task, LoaderTask):
        raise InvalidInput(
            f"task {task.name!r}: {method} asks for images by their number, but a data "
            "loader chooses itself; make it a TensorTask"
        )
    each = memory // (earlier + task.classes)
    if not each:
        raise InvalidInput(
            f"memory: {memory} exemplars are fewer than the {earlier + task.classes} "
            f"classes with task {task.name!r}; give it more"
        )
    return each


def shortened(exemplars: Exemplars, each: int) -> dict[str, list[Tensor]]:
    """The first ``each`` images of every class, as copies: a view would keep all it is part of."""
    return {name: [few[:each].clone() for few in sets] for name, sets in exemplars.items()}


def numbered(
    exemplars: Exemplars, device: torch.device
) -> tuple[Float[Tensor, "image ..."], Int64[Tensor, " image"]] | None:
    """All images and their classes, numbered through all tasks; None where there is none."""
    sets = [few for classes in exemplars.values() for few in classes]
    if not sets:
        return None
    numbers = [
        torch.full((len(few),), at, dtype=torch.int64, device=device) for at, few in enumerate(sets)
    ]
    return torch.cat(sets), torch.cat(numbers)


def indices_of_classes(task: TaskData) -> list[Int64[Tensor, " image"]]:
    """Indices of a task's training images, class by class.

    Raises:
        InvalidInput: a class has none.
    """
    everything = torch.arange(task.train_size, dtype=torch.int64, device=task.device)
    labels = torch.cat([train_images(task, part)[1] for part in everything.split(AT_A_TIME)])
    found = [(labels == label).nonzero().flatten() for label in range(task.classes)]
    for label, indices in enumerate(found):
        if not len(indices):
            raise InvalidInput(
                f"task {task.name!r}: no training image of class {label}, "
                f"expected some of each of its {task.classes} classes"
            )
    return found
