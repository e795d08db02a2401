"""Store: the file itself. Committed rows, appends, and the switch between two states.

A transaction writes only where no committed state looks: payloads behind the end of the file, rows
and text into preallocated room, the HDF5 view into the copy that is not in use. ``commit`` makes
those durable, then writes the one sector that is the new state, then makes that durable. Nothing
committed is ever overwritten, so readers need no lock and a crash needs no repair.
"""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from maskstore.errors import ArchiveClosed, ArchiveError, ArchiveWriteError, CorruptArchive
from maskstore.storage.commits import (
    State,
    encode_header,
    next_slot,
    parse_header,
    read_state,
    uncommitted_state,
)
from maskstore.storage.format import (
    EXTENT_BYTES,
    HEADER_OFFSET,
    ROW,
    ROW_BYTES,
    SECTOR,
    SLOT_OFFSETS,
    Extent,
    Slot,
    slot_version,
    version_of,
)
from maskstore.storage.hdf5_view import LastExtentView, extent_view, new_extent, static_view
from maskstore.storage.raw_file import Device, ReadableDevice
from maskstore.storage.records import (
    MIN_ROWS,
    Record,
    count_fitting,
    encode_records,
    room_for,
)

_FIRST_TEXT_BYTES = 128

Mark = tuple[tuple[Extent, ...], int, int, int]
"""(extents, end of file, offset of their table, version) of what is to be the next state."""


class Store:
    """The rows of an archive file, read from and appended to one device."""

    def __init__(
        self,
        device: ReadableDevice,
        name: str,
        state: State | None = None,
        *,
        lost: str | None = None,
    ) -> None:
        """Begin from a state; ``name`` is what error messages call the file.

        Args:
            state: the newest committed one, read from the device, by default.
            lost: why a newer one is not read.

        Raises:
            NotAnArchive, UnsupportedVersion, CorruptArchive: see :mod:`maskstore.errors`.
        """
        self.device = device
        self.name = name
        self.lost = lost
        self.slot, self.extents, self.header_bytes = state or read_state(device, name)
        self.header = parse_header(self.header_bytes, name)
        self._undo: list[tuple[int, bytes]] = []
        self._unsure = False
        self._end = self.slot.end_of_file
        self._table_offset = self.slot.table_offset
        self._version = self.slot.version
        self._committed_rows = self.total_rows
        self._committed_extents = tuple(self.extents)
        self._switching = False

    def read_rows(self, extent: Extent) -> tuple[np.ndarray, bytes]:
        """(rows, text) of an extent: two reads. Row checksums are the caller's to check."""
        rows = self.device.read(extent.index_offset, extent.rows * ROW_BYTES)
        return np.frombuffer(rows, ROW), self.device.read(extent.text_offset, extent.text_bytes)

    def _adopt(self, slot: Slot, extents: list[Extent]) -> None:
        # An interrupt may come between any two of these: nothing of a finished commit may be
        # undone, so that goes first, and the slot, by which abort() tells, comes last.
        self._undo.clear()
        self.extents = extents
        self._committed_extents = tuple(extents)
        self._end, self._table_offset = slot.end_of_file, slot.table_offset
        self._version = slot.version
        self._committed_rows = self.total_rows
        self.slot = slot
        self._switching = False

    @classmethod
    def create(
        cls,
        device: Device,
        header: dict[str, Any],
        name: str,
        *,
        version: int = 1,
        rows: int = MIN_ROWS,
        text_bytes: int = MIN_ROWS * _FIRST_TEXT_BYTES,
    ) -> "Store":
        """Write an empty archive to an empty device, durable on return.

        Args:
            version: of the format; rows that need a later one raise it.
            rows, text_bytes: room to begin with; more is made as needed.

        Raises:
            InvalidInput: the header is not JSON or larger than ``MAX_HEADER_BYTES``.
        """
        text = encode_header(header, name)
        static_address, static = static_view(len(text))
        start = bytes(HEADER_OFFSET) + text
        device.write(0, start.ljust(static_address, b"\0") + static)
        store = cls(device, name, uncommitted_state(text, version))
        store._end = static_address + len(static)
        store._add_extent(max(rows, 1), max(text_bytes, 1))
        store.commit()
        return store

    @property
    def total_rows(self) -> int:
        """Rows in all extents, those of the transaction in flight included."""
        return sum(extent.rows for extent in self.extents)

    def recover(self) -> None:
        """Remove what an interrupted writer left, finish what it began: once the lock is held."""
        device = self._writable()
        view = LastExtentView(self.slot.table_offset, len(self.extents))
        # After a sync that failed the disk may hold another state than the one that is read here,
        # also where the two look the same: it must show this one before any byte of another is
        # cut off or used again. The superblock may show a lost state besides.
        device.write(0, view.superblock(self.slot.generation % 2, self.slot.end_of_file))
        for offset in SLOT_OFFSETS:
            device.write(offset, device.read(offset, SECTOR))
        device.sync()
        if device.size() > self.slot.end_of_file:
            device.truncate(self.slot.end_of_file)
        self._retire_older_slot()

    def append(self, records: Sequence[Record]) -> list[int]:
        """Add rows to the transaction in flight; returns the file offset of each payload.

        Raises:
            ArchiveWriteError: the system refused; none of these rows is in the transaction.
        """
        before = self.mark()
        try:
            return self._append_all(records)
        except BaseException:
            self.return_to(before)
            raise

    def mark(self) -> Mark:
        """How far the transaction in flight has come."""
        return tuple(self.extents), self._end, self._table_offset, self._version

    def return_to(self, mark: Mark) -> None:
        """Forget what was appended since."""
        extents, self._end, self._table_offset, self._version = mark
        self.extents = list(extents)

    def _append_all(self, records: Sequence[Record]) -> list[int]:
        offsets: list[int] = []
        self._version = max(self._version, *(version_of(record.kind) for record in records), 1)
        while records:
            fitting = count_fitting(records, self.extents[-1])
            if fitting:
                offsets += self._append_to_last(records[:fitting])
                records = records[fitting:]
            else:
                self._add_extent(*room_for(records, self.extents))
        return offsets

    def _append_to_last(self, records: Sequence[Record]) -> list[int]:
        last = self.extents[-1]
        rows, text, offsets = encode_records(records, last)
        # The only write that needs new space comes first: a full disk changes nothing else.
        self._write(self._end, b"".join(record.payload for record in records))
        self._write(last.text_offset + last.text_bytes, text)
        self._write(last.index_offset + last.rows * ROW_BYTES, rows)
        self._end += sum(len(record.payload) for record in records)
        self.extents[-1] = replace(
            last,
            rows=last.rows + len(records),
            text_bytes=last.text_bytes + len(text),
            heap_bytes=self._end - last.heap_offset,
        )
        return offsets

    def _add_extent(self, rows: int, text_bytes: int) -> None:
        """Freeze the last extent and begin one behind the end of the file."""
        grown = new_extent(
            self._end,
            self.extents,
            len(self.header_bytes),
            version=self._version,
            rows=rows,
            text_bytes=text_bytes,
        )
        self._write(self._end, grown.region)
        self.extents = grown.extents
        self._table_offset, self._end = grown.table_offset, self._end + len(grown.region)

    def commit(self) -> None:
        """Make everything appended durable and current, or raise and leave no trace.

        Raises:
            ArchiveWriteError: the system refused; the archive is as before the transaction.
        """
        self._commit()
        self._retire_older_slot()

    def _retire_older_slot(self) -> None:
        """Once a commit raised the version: let the other slot not be of the version before.

        A release of that version refuses the file for the newer slot, but would take the older
        one, without a word, if the newer were ever damaged.
        """
        other = SLOT_OFFSETS[(self.slot.generation + 1) % 2]
        try:
            found = slot_version(self.device.read(other, SECTOR))
        except CorruptArchive:  # it could not be read this time; the next commit looks again
            return
        if found is None or found[0] >= self.slot.version:
            return
        try:
            self._commit()  # the same state again
        except (ArchiveWriteError, CorruptArchive):
            # The transaction itself is durable; the next commit or the next writer does this.
            with suppress(ArchiveWriteError, CorruptArchive):
                self.abort()

    def _commit(self) -> None:
        device = self._writable()
        device.require_in_place()
        copy = (self.slot.generation + 1) % 2
        view = LastExtentView(self._table_offset, len(self.extents))
        table_crc32 = self.slot.table_crc32
        if self._table_offset != self.slot.table_offset:
            table_crc32 = zlib.crc32(
                device.read(self._table_offset, len(self.extents) * EXTENT_BYTES)
            )
        slot = next_slot(
            self.slot,
            self.extents,
            version=self._version,
            table_offset=self._table_offset,
            table_crc32=table_crc32,
            end_of_file=self._end,
        )
        replaced = slot_version(device.read(SLOT_OFFSETS[copy], SECTOR))
        if replaced == (slot.version, True):
            shown = extent_view(view.copies[copy], self.extents[-1])
        else:  # this copy's root group tells another version
            static_address, _ = static_view(len(self.header_bytes))
            shown = view.encode_copy(copy, static_address, self.extents, slot.version)
        self._write(view.copies[copy], shown)
        device.sync()
        superblock = view.superblock(copy, self._end)
        self._switching = True
        try:
            self._switch(superblock, slot)
        except ArchiveError:
            # The new state may be on disk by now; what it points to must stay untouched until it
            # is revoked for certain.
            self._unsure = True
            for offset, data in self._undo[-2:]:
                device.write(offset, data)
            device.sync()
            self._unsure = False
            raise
        except BaseException:
            # An interrupt. A reader may have seen the new state, so it is finished, not revoked.
            self._switch(superblock, slot)
            self._adopt(slot, self.extents)
            raise
        self._adopt(slot, self.extents)

    def _switch(self, superblock: bytes, slot: Slot) -> None:
        """The commit itself: two sectors, made durable."""
        self._write(0, superblock)
        self._write(SLOT_OFFSETS[slot.generation % 2], slot.encode())
        self._writable().sync()

    def abort(self) -> None:
        """Forget the transaction in flight; the file is again what it was, to the byte."""
        if self._unsure:
            return
        device = self._writable()
        undo, generation = list(self._undo), self.slot.generation
        slot, extents = self.slot, list(self._committed_extents)
        self._unsure = True  # until all of this is done
        if self._switching:
            # An interrupt may have come after the commit was done: the file says.
            slot, extents, _ = read_state(device, self.name)
        self._adopt(slot, extents)
        if slot.generation == generation:
            for offset, data in reversed(undo):
                device.write(offset, data)
            if device.size() > slot.end_of_file:
                device.truncate(slot.end_of_file)
        self._unsure = False

    def commit_if_changed(self) -> None:
        """:meth:`commit`, unless nothing was appended."""
        if self.total_rows != self._committed_rows:
            self.commit()

    def require_writable(self) -> None:
        """Raise ArchiveClosed unless the store can be written to."""
        self._writable()

    def _write(self, offset: int, data: bytes) -> None:
        device = self._writable()
        old = min(len(data), self.slot.end_of_file - offset)
        if old > 0:
            self._undo.append((offset, device.read(offset, old)))
        device.write(offset, data)

    def _writable(self) -> Device:
        if not isinstance(self.device, Device) or not self.device.writable:
            raise ArchiveClosed(f"{self.name}: opened for reading; open it with mode 'a' to write")
        if self._unsure:
            raise ArchiveWriteError(
                f"{self.name}: the system could not say whether the last commit is on disk; "
                "close the archive and open it again"
            )
        self.device.require_owner()
        return self.device
