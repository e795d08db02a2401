"""Some tasks of an archive, as an archive that can be read."""

from collections.abc import Iterable, Sequence
from typing import Any

from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveClosed
from maskstore.queries import select
from maskstore.storage.index import Entry, Index, Row


class SelectedArchive(MaskArchive):
    """Only some tasks of an archive that is open; whatever reads an archive reads this.

    An archive of its own: ``StoredTask.index`` counts in it, and ``file_bytes`` is the share of the
    file that its tasks have: their payloads, and of everything else as much as any other task. It
    is read while the whole archive is open, and closing it leaves that open.

    >>> import numpy as np
    >>> with MaskArchive.create("selected.h5", {"w": (8,)}) as archive:
    ...     for name in "abc":
    ...         _ = archive.add(name, {"w": np.ones(8, bool)})
    ...     SelectedArchive(archive, ["c", "a"]).names()
    ['c', 'a']
    """

    def __init__(self, whole: MaskArchive, names: Sequence[str]) -> None:
        """Select.

        Raises:
            TaskNotFound: there is no such task.
        """
        for name in names:
            whole.entry(name)
        now = whole._now
        super().__init__(now.store, whole.path, _SelectedIndex(now.index, names), lock=False)
        self._whole = whole

    @property
    def file_bytes(self) -> int:
        self.store  # noqa: B018 - a closed archive says so, whatever is asked of it
        payloads = [_payload_bytes(each, each.names()) for each in (self, self._whole)]
        others = self._whole.file_bytes - payloads[1]
        return payloads[0] + round(others * len(self) / max(1, len(self._whole)))

    def transaction(self) -> Any:
        """Raises as an archive that is open for reading, whatever the whole one is."""
        raise ArchiveClosed(f"{self.path}: some of its tasks are open, to read; change the whole")

    def refresh(self) -> bool:
        """Nothing: what was selected stays as it was."""
        return False

    def close(self) -> None:
        """Leave the file, which is the whole archive's, open."""
        self._committed = None


def _payload_bytes(archive: MaskArchive, names: Sequence[str]) -> int:
    tensors = [archive.tensor_entry(name) for name in names]
    return sum(archive.entry(name).payload_bytes for name in names) + sum(
        entry.payload_bytes for entry in tensors if entry is not None
    )


class _SelectedIndex(Index):
    """The index with some tasks; masks that others are coded against are found all the same."""

    def __init__(self, index: Index, names: Sequence[str]) -> None:
        self._whole = index
        found = zip(names, index.lookup(names), strict=True)
        self._selected = {
            name: row._replace(position=at)
            for at, (name, row) in enumerate(found)
            if row is not None
        }
        self.damage = index.damage

    def __len__(self) -> int:
        return len(self._selected)

    def __contains__(self, name: object) -> bool:
        return name in self._selected

    def lookup(self, names: Iterable[str]) -> list[Row | None]:
        return [self._selected.get(name) for name in names]

    def rows(self) -> list[Row]:
        return list(self._selected.values())

    def names(self) -> list[str]:
        return list(self._selected)

    @property
    def shared(self) -> dict[str, Entry]:
        return self._whole.shared

    def find(self, digest: bytes) -> list[tuple[str, Entry]]:
        return self._whole.find(digest)


def select_from(archive: MaskArchive, pattern: str | None) -> MaskArchive:
    """The tasks that a pattern matches (:func:`maskstore.queries.select`); None for all.

    Raises:
        TaskNotFound: it matches none.
    """
    return archive if pattern is None else SelectedArchive(archive, select(archive, pattern))
