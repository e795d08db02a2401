"""ArchiveWriter: how the tasks of an archive are added, changed and removed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
from bitarray import bitarray

from maskstore import codecs
from maskstore.errors import ArchiveClosed, TaskExists
from maskstore.items import MaskItem, records_of_item
from maskstore.packed import StoredTask
from maskstore.parallel import map_ahead
from maskstore.reader import ArchiveReader, Contents
from maskstore.storage.format import (
    KIND_METADATA,
    KIND_REMOVE,
    KIND_RENAME,
    KIND_SHARED,
    KIND_TENSORS,
    MASK_KINDS,
)
from maskstore.storage.index import Change, Index, entry_of
from maskstore.storage.metadata import encode_metadata, parse_name
from maskstore.storage.records import Record
from maskstore.storage.store import Store
from maskstore.storage.tensor_rows import tensor_record
from maskstore.tensors import TensorValue, encode_set
from maskstore.transaction import Transacted, Transaction, Turn

_BATCH_BYTES = 1 << 25
_WORTH_A_THREAD = 1 << 15
"""Bits of a mask from which its coding is shared among the cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedTask:
    """A task as the rows of one archive, which are not in it yet."""

    name: str
    records: tuple[Record, ...]


class _Undone(Exception):
    """A transaction that is not to be kept."""


class Changes(Turn):
    """What a transaction has done so far.

    Attributes:
        generation: of the state that it began with, once it did.
        rows: that it appended, in order.
        index: that of the archive with those rows; None before the first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generation: int | None = None
        self.rows: list[Change] = []
        self.index: Index | None = None


class ArchiveWriter(ArchiveReader, Transacted):
    """Changes to one :class:`Store`, in transactions. Users open it as a ``MaskArchive``.

    A transaction changes an index of its own, which only its thread sees; the one of all others
    follows at its end, at once. Both are kept, so that the next one copies nothing.
    """

    def __init__(self, store: Store, path: str | Path, index: Index | None = None) -> None:
        ArchiveReader.__init__(self, store, path, index)
        Transacted.__init__(self)
        self._ahead: Index | None = None  # equal to the committed index, between transactions

    @property
    def _now(self) -> Contents:
        committed = super()._now
        turn = self._turn
        if isinstance(turn, Changes) and turn.index is not None and turn.thread == get_ident():
            return Contents(committed.store, turn.index)
        return committed

    def add(
        self,
        name: str,
        masks: Mapping[str, np.ndarray | bitarray],
        metadata: Mapping[str, Any] | None = None,
        *,
        tensors: Mapping[str, TensorValue] | None = None,
        codec: str = "auto",
    ) -> StoredTask:
        """Add the mask of one task and, in the same commit, its tensors.

        Args:
            masks: layer name → boolean array or bitarray, exactly the layout's layers.
            metadata: JSON to keep with the task.
            tensors: name → array of float32, float16, an integer type but uint16 to uint64, bool,
                or ``BFloat16``; stored exactly.
            codec: ``"auto"`` takes the smallest.

        Raises:
            InvalidName, InvalidMask, InvalidInput: nothing was added.
            TaskExists: there is a task of that name.
            ArchiveWriteError: the system refused; the file is as before.
        """
        with self.transaction():
            return self.add_encoded(
                self.encode(name, masks, metadata, tensors=tensors, codec=codec)
            )

    def encode(
        self,
        name: str,
        masks: Mapping[str, np.ndarray | bitarray],
        metadata: Mapping[str, Any] | None = None,
        *,
        tensors: Mapping[str, TensorValue] | None = None,
        codec: str = "auto",
    ) -> EncodedTask:
        """What :meth:`add` writes for one task, made in any thread and not yet added.

        Nearly all of the work of adding is this; most of it runs without Python's lock.

        Args:
            masks, metadata, tensors, codec: as of :meth:`add`.

        Raises:
            InvalidName, InvalidMask, InvalidInput, TaskExists: as :meth:`add`.
        """
        chosen = codecs.parse_codec(codec)
        (item,) = self._with_new_names([(name, masks, metadata or {}, tensors or {})])
        return EncodedTask(name=name, records=tuple(self._records(item, chosen)))

    def add_encoded(self, task: EncodedTask) -> StoredTask:
        """Add what :meth:`encode` of this archive made, in a commit of its own.

        Raises:
            TaskExists: there is a task of that name by now.
            ArchiveWriteError: the system refused; the file is as before.
        """
        with self.transaction():
            self.append_records(list(task.records))
            return self.task(task.name)

    def add_many(self, items: Iterable[MaskItem], *, codec: str = "auto") -> int:
        """Add any number of tasks in one transaction; returns how many. Raises as :meth:`add`."""
        chosen = codecs.parse_codec(codec)
        added = 0
        with self.transaction():
            batch: list[Record] = []
            size = 0
            # Small masks are coded in less time than a thread takes to begin.
            on_cores = map_ahead if self.layout.bits >= _WORTH_A_THREAD else map
            for records in on_cores(
                lambda item: self._records(item, chosen), self._with_new_names(items)
            ):
                batch += records
                size += sum(len(record.payload) + len(record.metadata) for record in records)
                added += 1
                if size > _BATCH_BYTES:
                    self.append_records(batch)
                    batch, size = [], 0
            self.append_records(batch)
        return added

    def remove(self, name: str) -> None:
        """Remove a task with its tensors; ``maskstore.compact`` brings the bytes back.

        Raises:
            TaskNotFound: there is no such task.
        """
        with self.transaction():
            self.entry(name)
            self.append_records([Record(kind=KIND_REMOVE, name=name.encode())])

    def rename(self, name: str, new: str) -> StoredTask:
        """Give a task another name; it keeps its place, its mask and all that belongs to it.

        Raises:
            TaskNotFound: there is no such task.
            TaskExists: another task has the new name.
            InvalidName: the new name is none.
        """
        encoded = parse_name(new)
        with self.transaction():
            self.entry(name)
            if new != name:
                if new in self:
                    raise self._taken(new)
                self.append_records(
                    [Record(kind=KIND_RENAME, name=name.encode(), metadata=encoded)]
                )
            return self.task(new)

    def set_tensors(self, name: str, tensors: Mapping[str, TensorValue]) -> StoredTask:
        """Put these tensors in the place of all that a task has; its mask stays as it is.

        Raises:
            TaskNotFound: there is no such task.
            InvalidInput: a tensor cannot be stored; nothing was changed.
        """
        self.entry(name)
        stored = encode_set(f"task {name!r}", tensors)
        with self.transaction():
            if tensors or self.tensor_entry(name) is not None:
                self.append_records([tensor_record(KIND_TENSORS, name, stored)])
            return self.task(name)

    def set_shared_tensors(self, name: str, tensors: Mapping[str, TensorValue]) -> None:
        """Put these tensors in the place of the set of that name, which belongs to the archive.

        Sets are replaced one by one, so what changes often belongs in another set than what is
        large. A set of no tensors is removed.

        Raises:
            InvalidInput: the name is none, or a tensor cannot be stored; nothing was changed.
        """
        parse_name(name, "name of shared tensors")
        stored = encode_set(f"shared tensors {name!r}", tensors)
        with self.transaction():
            if tensors or name in self.shared_entries:
                self.append_records([tensor_record(KIND_SHARED, name, stored)])

    def update(self, name: str, metadata: Mapping[str, Any]) -> StoredTask:
        """Replace a task's metadata. Raises TaskNotFound, InvalidInput."""
        self.entry(name)
        stored = encode_metadata(name, metadata, self.metadata_example)
        record = Record(kind=KIND_METADATA, name=name.encode(), metadata=stored)
        with self.transaction():
            self.entry(name)
            self.append_records([record])
            return self.task(name)

    def transaction(self) -> Any:
        """All changes inside become durable together, or none when the block raises.

        Other threads' changes wait until it is over, and what they read is without it until then. A
        transaction inside another joins it; where it raises, its own changes are undone.
        """
        return Transaction(self, Changes)

    def _begin_turn(self, turn: Turn) -> None:
        if isinstance(turn, Changes):
            store = self.store
            store.require_writable()
            turn.generation = store.slot.generation

    def _end_turn(self, turn: Turn, *, keep: bool) -> None:
        if not isinstance(turn, Changes):
            self._leave_turn(turn)
            return
        committed = self._committed
        # One block: wherever an interrupt comes, the turn does not end before it is undone.
        try:
            if not keep:
                raise _Undone
            with self._next:  # another thread does not close the file meanwhile
                if turn.rows and self._committed is None:
                    raise self._closed_early(turn)
                if committed is not None and turn.rows:
                    committed.store.commit()
                    self._ahead = None  # until both are equal again
                    committed.index.apply(turn.rows)
                    self._ahead = turn.index
        except BaseException as error:
            try:
                if committed is not None and self._committed is not None:
                    self._undo(committed.store, turn)
            finally:
                self._leave_turn(turn)
            if not isinstance(error, _Undone):
                raise
        else:
            self._leave_turn(turn)

    def _closed_early(self, turn: Changes) -> ArchiveClosed:
        count = len(turn.rows)
        return ArchiveClosed(
            f"{self.path}: closed before its transaction was over, so {count} "
            f"{'change' if count == 1 else 'changes'} of it were not stored"
        )

    def _undo(self, store: Store, turn: Changes) -> None:
        self._ahead = None
        try:
            store.abort()
        finally:
            if store.slot.generation != turn.generation:
                # An interrupt came when all was durable; the index may know a part of it.
                self._committed = Contents(store, Index(store))

    def _mark(self, turn: Turn) -> Any:
        assert isinstance(turn, Changes)
        return len(turn.rows), self.store.mark()

    def _return_to(self, turn: Turn, mark: Any) -> None:
        assert isinstance(turn, Changes)
        count, in_store = mark
        if len(turn.rows) > count:
            index = self._with_committed()
            index.apply(turn.rows[:count])
            self.store.return_to(in_store)
            turn.rows, turn.index = turn.rows[:count], index

    def _with_committed(self) -> Index:
        assert self._committed is not None
        return self._committed.index.copy()

    def _with_new_names(self, items: Iterable[MaskItem]) -> Iterator[MaskItem]:
        """The items, refused before anything is coded where a name is none or is taken."""
        seen: set[str] = set()
        for item in items:
            parse_name(item[0])
            if item[0] in self or item[0] in seen:
                raise self._taken(item[0])
            seen.add(item[0])
            yield item

    def _records(self, item: MaskItem, allowed: tuple[codecs.Codec, ...]) -> list[Record]:
        return records_of_item(
            item,
            layout=self.layout,
            prior=self.prior,
            allowed=allowed,
            metadata_example=self.metadata_example,
        )

    def append_records(self, batch: list[Record]) -> None:
        """Append rows to the transaction in flight; raises TaskExists where a name is taken."""
        turn = self._turn
        assert isinstance(turn, Changes)
        names = [record.name.decode() for record in batch]
        for name, record in zip(names, batch, strict=True):
            if record.kind in MASK_KINDS and name in self:
                raise self._taken(name)
        if turn.index is None and batch:
            # Taken away: whatever happens to this one, the next does not find it half changed.
            turn.index, self._ahead = self._ahead or self._with_committed(), None
        offsets = self.store.append(batch)
        rows = [
            (record.kind, name, entry_of(record, offset))
            for name, record, offset in zip(names, batch, offsets, strict=True)
        ]
        turn.rows += rows
        if turn.index is not None:
            turn.index.apply(rows)

    def _taken(self, name: str) -> TaskExists:
        return TaskExists(
            f"{self.path}: task {name!r} is there already; choose another name or remove it first"
        )
