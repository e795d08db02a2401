"""Files of a real folder and their names, and what a loss of power may leave of both.

The model: bytes of a file are durable once it was synced, until then they may be there, in part or
not at all. Names (of new, renamed and removed files) are durable once the folder was synced, until
then as after any of the changes since. What is written into a file is not seen as it happens, but
at the next call that is recorded: the places where power may go are those calls.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from types import TracebackType
from typing import Any

_RECORDED = ("open", "fsync", "rename", "replace", "link", "unlink", "remove", "ftruncate")

Files = dict[str, bytes]
"""Name → content."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was there after a call."""

    names: dict[str, int]
    contents: dict[int, bytes]
    synced: int | None
    """The file that the call made durable; 0 for the folder."""


class RecordedFolder:
    """Records what this process does to a folder's files while the block runs.

    Only one at a time, and no other thread may call the functions of ``os`` meanwhile. Files of
    subfolders are not looked at.

    >>> Path("a").write_bytes(b"old"), Path("draft").write_bytes(b"new")
    (3, 3)
    >>> with RecordedFolder(Path()) as record:
    ...     os.rename("draft", "a")
    >>> sorted({state["a"] for state in record.power_losses()})
    [b'new', b'old']
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moments: list[_Moment] = []
        self.calls: list[str] = []
        self._real: dict[str, Callable[..., Any]] = {}
        self._files: dict[int, int] = {}
        self._count = count(1)

    def __enter__(self) -> "RecordedFolder":
        self._look()
        for name in _RECORDED:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._recording(name))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)
        self._look()

    def _recording(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*arguments: Any, **named: Any) -> Any:
            self._look()
            result = real(*arguments, **named)
            self.calls.append(name)
            self._look(arguments[0] if name == "fsync" else None)
            return result

        return call

    def _synced(self, fd: int) -> int | None:
        """The file that was synced; 0 where it was the folder, None where it has no name there."""
        found = os.fstat(fd)
        return 0 if stat.S_ISDIR(found.st_mode) else self._files.get(found.st_ino)

    def _look(self, fd: int | None = None) -> None:
        names: dict[str, int] = {}
        contents: dict[int, bytes] = {}
        files: dict[int, int] = {}
        for entry in os.scandir(self.folder):
            if entry.is_file(follow_symlinks=False):
                # The number of a file that is gone is soon another's.
                number = self._files.get(entry.inode()) or next(self._count)
                files[entry.inode()] = names[entry.name] = number
                contents[number] = Path(entry.path).read_bytes()
        self._files = files
        synced = None if fd is None else self._synced(fd)
        self.moments.append(_Moment(names, contents, synced))

    def power_losses(self, *, after_all: bool = False) -> Iterator[Files]:
        """What may be left, each state once: the files by name.

        Args:
            after_all: only what may be left once the block is over: is its work durable?
        """
        first = self.moments[0]
        durable = dict(first.contents)
        names = [first.names]  # what they are on the disk, then each change since
        seen: set[tuple[tuple[str, bytes], ...]] = set()
        for at, moment in enumerate(self.moments):
            if moment.synced == 0:
                names = [moment.names]
            elif moment.synced is not None and moment.synced in moment.contents:
                durable[moment.synced] = moment.contents[moment.synced]
            if moment.names != names[-1]:
                names.append(moment.names)
            if after_all and at < len(self.moments) - 1:
                continue
            for chosen in names:
                for state in _states(chosen, durable, moment.contents):
                    key = tuple(sorted(state.items()))
                    if key not in seen:
                        seen.add(key)
                        yield state


def _states(
    names: dict[str, int], durable: dict[int, bytes], now: dict[int, bytes]
) -> Iterator[Files]:
    """Each file as it was made durable, as it is, and half of it."""
    choices = []
    for number in dict.fromkeys(names.values()):
        kept, written = durable.get(number, b""), now.get(number, durable.get(number, b""))
        half = written[: len(written) // 2] + kept[len(written) // 2 :]
        choices.append([(number, each) for each in dict.fromkeys((kept, written, half))])
    for chosen in product(*choices):
        contents = dict(chosen)
        yield {name: contents[number] for name, number in names.items()}
