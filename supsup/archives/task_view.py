"""The tasks of an archive as a mapping from names."""

from collections.abc import Iterator, Mapping

from maskstore.archive import MaskArchive, StoredTask


class TaskView(Mapping[str, StoredTask]):
    """Name → :class:`StoredTask`, in order of arrival, as the archive is whenever it is asked."""

    def __init__(self, archive: MaskArchive) -> None:
        """Look at an open archive."""
        self._archive = archive

    def __getitem__(self, name: str) -> StoredTask:
        """What is known of a task; raises TaskNotFound, which is a KeyError."""
        return self._archive.task(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.names())

    def __len__(self) -> int:
        return len(self._archive)

    def __repr__(self) -> str:
        names = self._archive.names()
        shown = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
        return f"<{len(names)} tasks: {shown}>" if names else "<no tasks>"
