"""The classes of the tasks of an archive: their number, their names, and predictions by name."""

from collections.abc import Iterable, Sequence

from maskstore.archive import MaskArchive, StoredTask
from maskstore.errors import InvalidInput
from maskstore.notebook import counted
from supsup.tasks import TaskRecipe
from supsup.training.metadata import TaskMetadata


def classes_of(stored: StoredTask) -> int | None:
    """How many classes a mask is for; None where it was added by hand and nobody said."""
    metadata = TaskMetadata.of(stored)
    if metadata.classes is not None or not metadata.task:
        return metadata.classes
    try:
        return TaskRecipe.from_json(metadata.task).class_count
    except InvalidInput:  # of a data set of somebody's own
        return None


def require_classes(archive: MaskArchive, stored: StoredTask) -> int:
    """How many classes a mask is for; raises InvalidInput where nobody said."""
    if (classes := classes_of(stored)) is None:
        raise InvalidInput(
            f"{archive.path}: task {stored.name!r} was added by hand without the number of its "
            "classes, so it cannot be evaluated; add it with them, as in "
            "--metadata '{\"classes\": 10}'"
        )
    return classes


def class_names_of_mask(stored: StoredTask) -> tuple[str, ...] | None:
    """What the classes of a mask's task are called, label by label; None where nobody knows.

    They are kept with the mask. Of a task of a known data set they follow from its recipe, which
    says which of the data set's classes are label 0, 1, …; where these have no names, they are
    called by their numbers there: label 0 of ``split-mnist/1`` is ``2``.
    """
    metadata = TaskMetadata.of(stored)
    if metadata.class_names is not None or not metadata.task:
        return metadata.class_names
    try:
        recipe = TaskRecipe.from_json(metadata.task)
    except InvalidInput:
        return None
    if (source := recipe.source) is None:
        return None
    classes = recipe.label_map(source.classes)
    if source.class_names is None:
        return tuple(map(str, classes))
    return tuple(source.class_names[number] for number in classes)


def label_of(names: tuple[str, ...] | None, prediction: int) -> str | None:
    """What a class is called, among the names of its task's; None where that is not known."""
    return names[prediction] if names and prediction < len(names) else None


def labels_of(
    archive: MaskArchive, tasks: Iterable[str], predictions: Iterable[int]
) -> tuple[str | None, ...]:
    """Predictions under the masks of those tasks as names of classes; None where not known."""
    names: dict[str, tuple[str, ...] | None] = {}
    labels: list[str | None] = []
    for task, prediction in zip(tasks, predictions, strict=True):
        if task not in names:
            names[task] = class_names_of_mask(archive.task(task))
        labels.append(label_of(names[task], prediction))
    return tuple(labels)


def note_of_chance(stored: Sequence[StoredTask]) -> str | None:
    """A line that names the masks whose accuracy is that of guessing; None where there are none."""
    names = [task.name for task in stored if _guesses(task)]
    if not names:
        return None
    return (
        f"{len(names)} of {counted(len(stored), 'task')} {'is' if len(names) == 1 else 'are'} at "
        f"chance, no better than guessing: {', '.join(names)}; lower the learning rate, or train "
        "longer"
    )


def _guesses(stored: StoredTask) -> bool:
    """Whether a mask's accuracy is that of guessing; False where nobody knows.

    A fifth more is guessing, too: who always answers the most frequent class of MNIST has 0.114.
    """
    found, classes = TaskMetadata.of(stored).accuracy, classes_of(stored)
    return found is not None and classes is not None and found <= 1.2 / classes
