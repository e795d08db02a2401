"""Stored tasks as rows: sorted by one of their figures, and with metadata as columns."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from maskstore.packed import StoredTask
from maskstore.registry import check_one_of

SortKey = Literal["index", "name", "density", "bytes", "codec", "accuracy"]


def accuracy_of(task: StoredTask) -> float | None:
    """What training recorded; anything may stand there in a mask added by hand."""
    metrics = task.metadata.get("metrics")
    found = metrics.get("accuracy") if isinstance(metrics, dict) else None
    return found if isinstance(found, int | float) else None


def sort_tasks(
    tasks: Iterable[StoredTask], key: str = "index", *, reverse: bool = False
) -> list[StoredTask]:
    """Tasks by one of their figures, smallest first; those that lack it are last.

    Raises:
        InvalidInput: an unknown key.
    """
    check_one_of("sort", key, get_args(SortKey))
    of: dict[str, Any] = {"density": lambda task: task.ones / task.bits, "accuracy": accuracy_of}
    value = of.get(key, lambda task: getattr(task, key))
    listed = list(tasks)
    have = [task for task in listed if value(task) is not None]
    have.sort(key=value, reverse=reverse)
    return have + [task for task in listed if value(task) is None]


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def flat_rows(tasks: Iterable[StoredTask]) -> tuple[list[str], list[list[Any]]]:
    """Tasks as a table: its columns, and a row each.

    What of the metadata is no list becomes a column named by its path, ``metrics.accuracy``; None
    where a task has none of it.
    """
    columns: dict[str, None] = {}
    found = []
    for task in tasks:
        row = task._asdict() | {
            "density": task.ones / task.bits,
            "tensor_bytes": sum(each.bytes for each in task.tensors),
        }
        del row["metadata"], row["tensors"]
        row |= {key: value for key, value in _leaves(task.metadata) if key not in row}
        columns |= dict.fromkeys(row)
        found.append(row)
    return list(columns), [[row.get(column) for column in columns] for row in found]


def csv_cell(value: object) -> object:
    """As it may stand in a CSV file: names may be anybody's.

    Text that a spreadsheet would carry out as a formula gets an apostrophe before it.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, each in value.items():
        if isinstance(each, dict):
            yield from _leaves(each, f"{path}{key}.")
        elif not isinstance(each, list):
            yield f"{path}{key}", each
