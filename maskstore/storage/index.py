"""The index in memory: which row is which task, after every addition, change and removal."""

import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from threading import RLock
from typing import NamedTuple

import numpy as np

from maskstore.codecs.history import DIGEST_BYTES, HistoryCodec
from maskstore.errors import CorruptArchive
from maskstore.storage.commits import damaged_slots
from maskstore.storage.format import (
    KIND_MASK,
    KIND_MASK_WITH_TENSORS,
    KIND_METADATA,
    KIND_REMOVE,
    KIND_RENAME,
    KIND_SHARED,
    KIND_TENSORS,
    KINDS,
    MASK_KINDS,
    ROW,
    ROW_BYTES,
    ROW_CHECKED_BYTES,
    Extent,
)
from maskstore.storage.records import Record
from maskstore.storage.store import Store

_SHA256: int = ROW.fields["sha256"][1]  # type: ignore[index]


_CHECKED_IN_VAIN, _CHECKED_AT_LEAST = 16, 1 << 26
"""How much text damaged rows may claim before no more is looked at: so many times all there is, and
so many bytes. What a disk does to a few rows is far from it."""


class Entry(NamedTuple):
    """One row's payload: where it lies in the file and what is known of it.

    Attributes:
        metadata: as stored; of a row of tensors their description.
    """

    offset: int
    payload_bytes: int
    codec: int
    ones: int
    payload_crc32: int
    sha256: bytes
    metadata: bytes


LOST = Entry(0, 0, 0, 0, 0, bytes(32), b"")
"""In the place of the tensors of a task whose row of tensors is not there."""


class Row(NamedTuple):
    """A task as a whole: its row, and that of its tensors.

    Attributes:
        tensors: ``LOST`` where the row is not there; None if the task has none.
        position: how many tasks came before it and are still there.
    """

    name: str
    entry: Entry
    tensors: Entry | None
    position: int


Change = tuple[int, str, Entry]
"""One row to be carried out: its kind, the name it is of, and what it holds."""


class Damage(NamedTuple):
    """Something in the file that is not as it was written."""

    task: str | None
    """The task that is lost, or None where it can not be said or is the whole file."""
    cause: str


DAMAGED_SLOT = Damage(None, "a commit slot fails its checksum; the last transaction may be lost")


class Index:
    """Live tasks in order of arrival, what the archive itself keeps, and rows not to be trusted.

    Threads may share one: what is asked and what is carried out at once is so for all of them.
    """

    def __init__(self, store: Store) -> None:
        """Read all rows of a store."""
        self._lock = RLock()
        # By place of arrival, which a dict keeps when its value changes: a rename costs no more.
        self._tasks: dict[int, tuple[str, Entry]] = {}
        self._places: dict[str, int] = {}
        self._arrived = 0
        self._gone: list[int] = []  # places of removed tasks, ascending
        self._tensors: dict[int, Entry] = {}
        self._shared: dict[str, Entry] = {}
        self._removed: list[tuple[str, Entry]] = []
        self._by_digest: dict[bytes, list[tuple[str, Entry]]] | None = None
        self.damage: list[Damage] = []
        if store.lost is not None:
            self.damage.append(Damage(None, store.lost))
        if damaged_slots(store.device, store.slot):
            self.damage.append(DAMAGED_SLOT)
        missing = store.slot.end_of_file - store.device.size()
        if missing > 0:
            self.damage.append(Damage(None, f"truncated: the last {missing} bytes are missing"))
        for number, extent in enumerate(store.extents):
            self._load(store, number, extent)

    def copy(self) -> "Index":
        """Another index of the same rows, to be changed by itself."""
        made = object.__new__(Index)
        with self._lock:
            made._lock = RLock()
            made._tasks, made._places = dict(self._tasks), dict(self._places)
            made._arrived, made._gone = self._arrived, list(self._gone)
            made._tensors, made._shared = dict(self._tensors), dict(self._shared)
            made._removed, made._by_digest = list(self._removed), None
            made.damage = list(self.damage)
        return made

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def lookup(self, names: Iterable[str]) -> list[Row | None]:
        """Those tasks as they are at one moment; None in the place of one that is not there."""
        with self._lock:
            places = [self._places.get(n) if isinstance(n, str) else None for n in names]
            return [None if place is None else self._row_at(place) for place in places]

    def _row_at(self, place: int) -> Row:
        name, entry = self._tasks[place]
        return Row(name, entry, self._tensors.get(place), place - bisect_left(self._gone, place))

    def rows(self) -> list[Row]:
        """The tasks in order of arrival."""
        with self._lock:
            return [
                Row(name, entry, self._tensors.get(place), at)
                for at, (place, (name, entry)) in enumerate(self._tasks.items())
            ]

    def names(self) -> list[str]:
        """Task names in order of arrival."""
        with self._lock:
            return [name for name, _ in self._tasks.values()]

    @property
    def shared(self) -> dict[str, Entry]:
        """Name of each set of tensors of the archive → its row."""
        with self._lock:
            return dict(self._shared)

    def live_rows(self) -> list[tuple[str, Entry]]:
        """The rows that a file with nothing else would have."""
        with self._lock:
            tensors = [(self._tasks[place][0], entry) for place, entry in self._tensors.items()]
            return [*self._tasks.values(), *tensors, *self._shared.items()]

    def _load(self, store: Store, number: int, extent: Extent) -> None:
        rows, text = store.read_rows(extent)
        if not len(rows):
            return
        starts = rows["text_offset"].astype(np.int64)
        name_ends = starts + rows["name_bytes"]
        ends = name_ends + rows["metadata_bytes"]
        offsets = np.minimum(rows["payload_offset"], extent.heap_bytes)  # no overflow below
        inside = (ends <= len(text)) & (rows["payload_offset"] == offsets)
        inside &= rows["payload_bytes"] <= extent.heap_bytes - offsets
        raw = rows.tobytes()
        texts = list(zip(starts.tolist(), name_ends.tolist(), ends.tolist(), strict=True))
        intact = _intact(raw, text, texts, inside.tolist(), rows["crc32"].tolist())
        entries = map(
            Entry,
            (offsets + extent.heap_offset).tolist(),
            rows["payload_bytes"].tolist(),
            rows["codec"].tolist(),
            rows["ones"].tolist(),
            rows["payload_crc32"].tolist(),
            [raw[at : at + 32] for at in range(_SHA256, len(raw), ROW_BYTES)],
            [
                text[name_end:end] if sound else b""
                for sound, (_, name_end, end) in zip(intact, texts, strict=True)
            ],
        )
        kinds = rows["kind"].tolist()
        known = KINDS[store.slot.version]
        tasks, places = self._tasks, self._places
        for at, entry in enumerate(entries):
            start, name_end, _ = texts[at]
            try:
                name = text[start:name_end].decode() if intact[at] else None
            except UnicodeDecodeError:
                name = None
            if name is None:
                self.damage.append(
                    Damage(None, f"index row {at} of extent {number} fails its checksum")
                )
            elif kinds[at] == KIND_MASK and name not in places:
                places[name] = self._arrived
                tasks[self._arrived] = name, entry
                self._arrived += 1
            else:
                self._apply(kinds[at] if kinds[at] in known else 0, name, entry)

    def apply(self, changes: Iterable[Change]) -> None:
        """Carry out rows, all at once for those who ask meanwhile."""
        with self._lock:
            for kind, name, entry in changes:
                self._apply(kind, name, entry)

    def _apply(self, kind: int, name: str, entry: Entry) -> None:
        """One row: a new task, another name, metadata or tensors, or a removal."""
        place = self._places.get(name)
        if kind == KIND_SHARED:
            self._shared.pop(name, None)
            if entry.metadata:
                self._shared[name] = entry
        elif kind in MASK_KINDS and place is None:
            if kind == KIND_MASK_WITH_TENSORS:
                self._tensors[self._arrived] = LOST  # until its row comes
            self._places[name] = self._arrived
            self._tasks[self._arrived] = name, entry
            self._arrived += 1
            if self._by_digest is not None:
                _note(self._by_digest, name, entry)
        elif place is None or not self._change(kind, place, name, entry):
            # The row itself is sound, so the one it depends on is among the damaged ones.
            self.damage.append(
                Damage(name, f"a row of kind {kind} does not fit the rows before it")
            )

    def _change(self, kind: int, place: int, name: str, entry: Entry) -> bool:
        """Carry out a row about the task at ``place``; False where it does not fit."""
        known = self._tasks[place][1]
        if kind == KIND_METADATA:
            self._tasks[place] = name, known._replace(metadata=entry.metadata)
        elif kind == KIND_TENSORS:
            self._tensors.pop(place, None)
            if entry.metadata:
                self._tensors[place] = entry
        elif kind == KIND_REMOVE:
            del self._places[name], self._tasks[place]
            self._tensors.pop(place, None)
            insort(self._gone, place)
            self._removed.append((name, known))
        elif kind == KIND_RENAME:
            try:
                new = entry.metadata.decode()
            except UnicodeDecodeError:
                return False
            if new in self._places:
                return False
            del self._places[name]
            self._places[new] = place
            self._tasks[place] = new, known
            self._by_digest = None
        else:
            return False
        return True

    def find(self, digest: bytes) -> list[tuple[str, Entry]]:
        """The tasks whose mask's sha256 begins with ``digest`` and that stand for themselves.

        Removed tasks count: their payloads stay in the file until it is rewritten. Usually there is
        one; each of several will do, as long as it is sound.
        """
        with self._lock:
            if self._by_digest is None:
                self._by_digest = {}
                for task in (*self._removed, *self._tasks.values()):
                    _note(self._by_digest, *task)
            return list(self._by_digest.get(digest, ()))


def _intact(
    raw: bytes,
    text: bytes,
    texts: Sequence[tuple[int, int, int]],
    inside: Sequence[bool],
    checksums: Sequence[int],
) -> list[bool]:
    """Whether each row is as it was written.

    Each has text of its own, behind that of the rows before it. Forged ones that share some would
    take as much memory, and checksums as much time, as there are rows times what they share.
    """
    found: list[bool] = []
    behind, left = 0, _CHECKED_IN_VAIN * len(text) + _CHECKED_AT_LEAST
    view = memoryview(text)
    at = 0
    # A hundred thousand rows are read at every open.
    for (start, _, end), fits, checksum in zip(texts, inside, checksums, strict=True):
        sound = False
        if fits and start >= behind and end - start <= left:
            about = zlib.crc32(raw[at : at + ROW_CHECKED_BYTES])
            sound = zlib.crc32(view[start:end], about) == checksum
            if sound:
                behind = end
            else:
                left -= end - start
        found.append(sound)
        at += ROW_BYTES
    return found


def _note(found: dict[bytes, list[tuple[str, Entry]]], name: str, entry: Entry) -> None:
    if entry.codec != HistoryCodec.id:
        found.setdefault(entry.sha256[:DIGEST_BYTES], []).append((name, entry))


def entry_of(record: Record, offset: int) -> Entry:
    """The entry that reading ``record`` back would give."""
    return Entry(
        offset,
        len(record.payload),
        record.codec,
        record.ones,
        zlib.crc32(record.payload),
        record.sha256,
        record.metadata,
    )


def payload_of(store: Store, name: str, entry: Entry) -> bytes:
    """The stored bytes of a task, checked against the row's crc32.

    Raises:
        CorruptArchive: the bytes differ from those written.
    """
    payload = store.device.read(entry.offset, entry.payload_bytes)
    computed = zlib.crc32(payload)
    if computed != entry.payload_crc32:
        raise CorruptArchive(
            f"{store.name}: task {name!r} is damaged: its stored bytes have crc32 "
            f"{computed:08x}, {entry.payload_crc32:08x} was recorded; other tasks stay readable"
        )
    return payload
