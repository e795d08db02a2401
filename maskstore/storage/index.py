"""The index in memory: which row is which task, after every addition, change and removal."""

import zlib
from typing import NamedTuple

import numpy as np

from maskstore.codecs.history import DIGEST_BYTES, HistoryCodec
from maskstore.errors import CorruptArchive
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


class Damage(NamedTuple):
    """Something in the file that is not as it was written."""

    task: str | None
    """The task that is lost, or None where it can not be said or is the whole file."""
    cause: str


class Index:
    """Live tasks in order of arrival, what the archive itself keeps, and rows not to be trusted.

    Attributes:
        shared: name of each set of tensors of the archive → its row.
    """

    def __init__(self, store: Store) -> None:
        # By place of arrival, which a dict keeps when its value changes: a rename costs no more.
        self._tasks: dict[int, tuple[str, Entry]] = {}
        self._places: dict[str, int] = {}
        self._arrived = 0
        self._tensors: dict[int, Entry] = {}
        self.shared: dict[str, Entry] = {}
        self._removed: list[tuple[str, Entry]] = []
        self._by_digest: dict[bytes, list[tuple[str, Entry]]] | None = None
        self.damage: list[Damage] = []
        missing = store.slot.end_of_file - store.device.size()
        if missing > 0:
            self.damage.append(Damage(None, f"truncated: the last {missing} bytes are missing"))
        for number, extent in enumerate(store.extents):
            self._load(store, number, extent)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Entry:
        """Raises KeyError."""
        return self._tasks[self._places[name]][1]

    @property
    def has_tensors(self) -> bool:
        """Whether any task has tensors: most archives need not look for those of each."""
        return bool(self._tensors)

    def tensors_of(self, name: str) -> Entry | None:
        """The row of a task's tensors, ``LOST`` where it is not there; None if it has none."""
        return self._tensors.get(self._places[name])

    def names(self) -> list[str]:
        """Task names in order of arrival."""
        return [name for name, _ in list(self._tasks.values())]

    def items(self) -> list[tuple[str, Entry]]:
        """Tasks in order of arrival, as they are now."""
        return list(self._tasks.values())

    def live_rows(self) -> list[tuple[str, Entry]]:
        """The rows that a file with nothing else would have."""
        tensors = [(self._tasks[place][0], entry) for place, entry in self._tensors.items()]
        return [*self.items(), *tensors, *self.shared.items()]

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
        # A hundred thousand rows are read at every open: comprehensions, not a loop of statements.
        computed = [
            zlib.crc32(text[start:end], zlib.crc32(raw[at : at + ROW_CHECKED_BYTES]))
            for at, (start, _, end) in zip(range(0, len(raw), ROW_BYTES), texts, strict=True)
        ]
        intact = (inside & (np.array(computed, np.uint32) == rows["crc32"])).tolist()
        entries = map(
            Entry,
            (offsets + extent.heap_offset).tolist(),
            rows["payload_bytes"].tolist(),
            rows["codec"].tolist(),
            rows["ones"].tolist(),
            rows["payload_crc32"].tolist(),
            [raw[at : at + 32] for at in range(_SHA256, len(raw), ROW_BYTES)],
            [text[name_end:end] for _, name_end, end in texts],
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
                self.apply(kinds[at] if kinds[at] in known else 0, name, entry)

    def apply(self, kind: int, name: str, entry: Entry) -> None:
        """Carry out one row: a new task, another name, metadata or tensors, or a removal."""
        place = self._places.get(name)
        if kind == KIND_SHARED:
            self.shared.pop(name, None)
            if entry.metadata:
                self.shared[name] = entry
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
        if self._by_digest is None:
            found: dict[bytes, list[tuple[str, Entry]]] = {}
            for task in (*self._removed, *self.items()):
                _note(found, *task)
            self._by_digest = found  # at once: other threads may ask, too
        return list(self._by_digest.get(digest, ()))


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
