"""The index in memory: which row is which task, after every addition, change and removal."""

import zlib
from typing import NamedTuple

import numpy as np

from maskstore.errors import CorruptArchive
from maskstore.format import (
    KIND_MASK,
    KIND_METADATA,
    KIND_REMOVE,
    ROW,
    ROW_BYTES,
    ROW_CHECKED_BYTES,
    Extent,
)
from maskstore.store import Record, Store

_SHA256: int = ROW.fields["sha256"][1]  # type: ignore[index]


class Entry(NamedTuple):
    """One live task: where its payload lies in the file and what is known of it."""

    offset: int
    payload_bytes: int
    codec: int
    ones: int
    payload_crc32: int
    sha256: bytes
    metadata: bytes


class Damage(NamedTuple):
    """Something in the file that is not as it was written."""

    task: str | None
    """The task that is lost, or None where it can not be said or is the whole file."""
    cause: str


class Index:
    """Live tasks by name, in order of arrival, and the rows that can not be trusted."""

    def __init__(self, store: Store) -> None:
        self.entries: dict[str, Entry] = {}
        self.damage: list[Damage] = []
        self.payload_bytes_removed = 0
        for number, extent in enumerate(store.extents):
            self._load(store, number, extent)

    def _load(self, store: Store, number: int, extent: Extent) -> None:
        rows, text = store.read_rows(extent)
        if not len(rows):
            return
        about = rows["name_bytes"].astype(np.uint64) + rows["metadata_bytes"]
        inside = (rows["text_offset"] + about <= len(text)) & (
            # No overflow: both sides are compared before they are added.
            (rows["payload_offset"] <= extent.heap_bytes)
            & (
                rows["payload_bytes"]
                <= extent.heap_bytes - np.minimum(rows["payload_offset"], extent.heap_bytes)
            )
        )
        raw = rows.tobytes()
        columns = zip(
            inside.tolist(),
            rows["kind"].tolist(),
            rows["text_offset"].tolist(),
            rows["name_bytes"].tolist(),
            rows["metadata_bytes"].tolist(),
            rows["payload_offset"].tolist(),
            rows["payload_bytes"].tolist(),
            rows["codec"].tolist(),
            rows["ones"].tolist(),
            rows["payload_crc32"].tolist(),
            rows["crc32"].tolist(),
            strict=True,
        )
        for at, (ok, kind, start, name_bytes, metadata_bytes, *fields, crc32) in enumerate(columns):
            offset, payload_bytes, codec, ones, payload_crc32 = fields
            row = at * ROW_BYTES
            name_end = start + name_bytes
            stop = name_end + metadata_bytes
            checked = zlib.crc32(raw[row : row + ROW_CHECKED_BYTES])
            if not ok or zlib.crc32(text[start:stop], checked) != crc32:
                self.damage.append(
                    Damage(None, f"index row {at} of extent {number} fails its checksum")
                )
                continue
            try:
                name = text[start:name_end].decode()
            except UnicodeDecodeError:
                self.damage.append(
                    Damage(None, f"index row {at} of extent {number}: the name is not UTF-8")
                )
                continue
            sha256 = raw[row + _SHA256 : row + _SHA256 + 32]
            entry = Entry(
                extent.heap_offset + offset,
                payload_bytes,
                codec,
                ones,
                payload_crc32,
                sha256,
                text[name_end:stop],
            )
            self.apply(kind, name, entry)

    def apply(self, kind: int, name: str, entry: Entry) -> None:
        """Carry out one row: a new task, other metadata, or a removal."""
        known = self.entries.get(name)
        if kind == KIND_MASK and known is None:
            self.entries[name] = entry
        elif kind == KIND_METADATA and known is not None:
            self.entries[name] = known._replace(metadata=entry.metadata)
        elif kind == KIND_REMOVE and known is not None:
            self.payload_bytes_removed += known.payload_bytes
            del self.entries[name]
        else:
            # The row itself is sound, so the one it depends on is among the damaged ones.
            self.damage.append(
                Damage(name, f"a row of kind {kind} does not fit the rows before it")
            )


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
