"""The classes of a task: how many, and what they are called."""

from collections.abc import Sequence
from typing import Any

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole

Classes = int | Sequence[str]
"""Their number, or their names in the order of the labels."""


def parse_classes(classes: object, what: str) -> tuple[int, tuple[str, ...] | None]:
    """Number and names, these None where only the number is given.

    Raises:
        InvalidInput: neither a number from 1 nor names, at least one, all different.

    >>> parse_classes(["cat", "dog"], "task 'pets'")
    (2, ('cat', 'dog'))
    """
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        return parse_whole(f"{what}: classes", classes), None
    names = tuple(classes)
    bad = [each for each in names if not isinstance(each, str) or not each]
    if bad or not names:
        raise InvalidInput(
            f"{what}: classes: expected a number, or names in the order of the labels, got "
            f"{list(names)!r:.60}"
        )
    repeated = [each for at, each in enumerate(names) if each in names[:at]]
    if repeated:
        raise InvalidInput(f"{what}: classes: the name {repeated[0]!r} is there twice")
    return len(names), names


def class_names_of(task: Any) -> tuple[str, ...] | None:
    """What a task calls its classes (its member ``class_names``); None where it does not.

    Raises:
        InvalidInput: they are no names, or not as many as it has classes.
    """
    names = getattr(task, "class_names", None)
    if names is None:
        return None
    if isinstance(names, int):
        raise InvalidInput(f"task {task.name!r}: class_names: expected names, got {names}")
    count, parsed = parse_classes(names, f"task {task.name!r}")
    if count != task.classes:
        raise InvalidInput(
            f"task {task.name!r}: {task.classes} classes and {count} class names; give one each"
        )
    return parsed
