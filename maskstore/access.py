"""An archive as Python sees it: by name, as a mapping of its tasks, as a table, as text."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, KeysView, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from maskstore.errors import ArchiveClosed, InvalidInput
from maskstore.layout import MaskLayout
from maskstore.notebook import counted, first_names, html_line, html_table
from maskstore.packed import StoredTask
from maskstore.task_table import flat_rows

if TYPE_CHECKING:
    import pandas

_SHOWN = 5
"""Tasks that a repr in HTML lists."""

_WITHIN = frozenset(
    [
        "add_encoded",
        "append_records",
        "check_stored",
        "decoding_prior",
        "encode",
        "entry",
        "open_to_salvage",
        "prior",
        "rewrite",
        "shared_entries",
        "state",
        "store",
        "stored_bytes",
        "stored_shared",
        "stored_tensors",
        "tensor_entry",
    ]
)
"""What an archive is to the modules that maintain and recode it: completion does not offer it."""


class TaskTable(Mapping[str, StoredTask]):
    """Task name → what is known of it, in order of arrival, as the archive is now."""

    def __init__(self, archive: "TaskAccess") -> None:
        """Look at an archive; nothing is copied."""
        self._archive = archive

    def __getitem__(self, name: str) -> StoredTask:
        """Raises TaskNotFound, which is a KeyError."""
        return self._archive.task(name)

    def __contains__(self, name: object) -> bool:
        return name in self._archive

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.names())

    def __len__(self) -> int:
        return len(self._archive)

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'task')}: {first_names(self._archive.names())}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first tasks."""
        return _table_of(self._archive) if len(self) else html_line(repr(self))


class TaskAccess(ABC):
    """What the tasks of an archive look like from outside; a reader says where they come from."""

    path: str | Path
    layout: MaskLayout

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __contains__(self, name: object) -> bool: ...

    @abstractmethod
    def names(self) -> list[str]:
        """Task names in order of arrival."""

    @abstractmethod
    def task(self, name: str) -> StoredTask:
        """What the index knows of one task; raises TaskNotFound."""

    @abstractmethod
    def get(self, name: str) -> dict[str, Bool[np.ndarray, "..."]]:
        """The mask of a task: layer name → boolean array; raises TaskNotFound."""

    @property
    @abstractmethod
    def file_bytes(self) -> int:
        """Length of the file; raises ArchiveClosed."""

    def __dir__(self) -> list[str]:
        """What completion offers: what an archive is to its users."""
        return sorted({*super().__dir__()} - _WITHIN)

    @property
    def closed(self) -> bool:
        """Whether the archive was closed."""
        try:
            self.file_bytes  # noqa: B018 - a closed archive says so, whatever is asked of it
        except ArchiveClosed:
            return True
        return False

    def __getitem__(self, name: str) -> dict[str, Bool[np.ndarray, "..."]]:
        """``archive[name]`` is :meth:`get`: the mask of a task."""
        return self.get(name)

    def keys(self) -> KeysView[str]:
        """The task names, as those of a dict."""
        return self.tasks.keys()

    @property
    def tasks(self) -> TaskTable:
        """Task name → :class:`StoredTask`. No mask is decoded."""
        return TaskTable(self)

    def to_dataframe(self) -> "pandas.DataFrame":
        """The tasks as a table of pandas: a row each, metadata by path (``metrics.accuracy``).

        Raises:
            InvalidInput: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InvalidInput(
                "to_dataframe: needs pandas, which is not installed (`pip install pandas`); "
                "`supsup-store list --csv` needs nothing"
            ) from None
        columns, rows = flat_rows(self.tasks.values())
        return pandas.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        if self.closed:
            return f"<{type(self).__name__} {str(self.path)!r}, closed>"
        return (
            f"<{type(self).__name__} {str(self.path)!r}: {counted(len(self), 'task')}, masks of "
            f"{self.layout.bits:,} bits in {counted(len(self.layout.shapes), 'layer')}, "
            f"{self.file_bytes:,} bytes>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the line of ``repr``, and the first tasks."""
        line = html_line(repr(self))
        return line if self.closed or not len(self) else line + _table_of(self)


def _table_of(archive: TaskAccess) -> str:
    """The first tasks of an archive, in HTML."""
    names = archive.names()
    shown: list[tuple[Any, ...]] = []
    for name in names[:_SHOWN]:
        task = archive.task(name)
        shown.append((name, f"{task.ones / task.bits:.4f}", task.codec, f"{task.bytes:,}"))
    if len(names) > _SHOWN:
        shown.append((f"… {len(names) - _SHOWN:,} more", "", "", ""))
    return html_table(("task", "density", "codec", "bytes"), shown)


def require_archive(archive: object) -> None:
    """Raise InvalidInput where something else than an open archive is given, such as its path."""
    if not isinstance(archive, TaskAccess):
        raise InvalidInput(
            f"expected an open archive, got {archive!r:.80}; open one with MaskArchive.open(path)"
        )
