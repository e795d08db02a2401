"""ArchiveWriter: how the tasks of an archive are added, changed and removed."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bitarray import bitarray

from maskstore import codecs
from maskstore.errors import TaskExists
from maskstore.items import MaskItem, records_of_item
from maskstore.packed import StoredTask
from maskstore.parallel import map_ahead
from maskstore.reader import ArchiveReader
from maskstore.storage.format import (
    KIND_METADATA,
    KIND_REMOVE,
    KIND_RENAME,
    KIND_SHARED,
    KIND_TENSORS,
    MASK_KINDS,
)
from maskstore.storage.index import Index, entry_of
from maskstore.storage.metadata import encode_metadata, parse_name
from maskstore.storage.records import Record
from maskstore.storage.store import Store
from maskstore.storage.tensor_rows import tensor_record
from maskstore.tensors import TensorValue, encode_set

_BATCH_BYTES = 1 << 25
_WORTH_A_THREAD = 1 << 15
"""Bits of a mask from which its coding is shared among the cores."""


class ArchiveWriter(ArchiveReader):
    """Changes to one :class:`Store`, in transactions. Users open it as a ``MaskArchive``."""

    def __init__(self, store: Store, path: str | Path) -> None:
        super().__init__(store, path)
        self._in_transaction = False
        self._mutex = threading.RLock()

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
        self.add_many([(name, masks, metadata or {}, tensors or {})], codec=codec)
        return self._stored_task(name, self.entry(name), len(self) - 1)

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
        self.entry(name)
        with self.transaction():
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
                if new in self._index:
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
            if tensors or name in self._index.shared:
                self.append_records([tensor_record(KIND_SHARED, name, stored)])

    def update(self, name: str, metadata: Mapping[str, Any]) -> StoredTask:
        """Replace a task's metadata. Raises TaskNotFound, InvalidInput."""
        self.entry(name)
        stored = encode_metadata(name, metadata, self.metadata_example)
        record = Record(kind=KIND_METADATA, name=name.encode(), metadata=stored)
        with self.transaction():
            self.append_records([record])
        return self.task(name)

    @contextmanager
    def transaction(self) -> Iterator["ArchiveWriter"]:
        """All changes inside become durable together, or none when the block raises.

        A transaction inside another joins it.
        """
        with self._mutex:  # other threads wait until it is durable or undone
            store = self.store
            if self._in_transaction:
                yield self
                return
            store.require_writable()
            try:
                self._in_transaction = True
                yield self
                store.commit_if_changed()
            except BaseException:
                store.abort()
                self._reload()
                raise
            finally:
                self._in_transaction = False

    def _reload(self) -> None:
        self._index = Index(self.store)
        self._positions = None

    def _with_new_names(self, items: Iterable[MaskItem]) -> Iterator[MaskItem]:
        """The items, refused before anything is coded where a name is none or is taken."""
        seen: set[str] = set()
        for item in items:
            parse_name(item[0])
            if item[0] in self._index or item[0] in seen:
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
        names = [record.name.decode() for record in batch]
        for name, record in zip(names, batch, strict=True):
            if record.kind in MASK_KINDS and name in self._index:
                raise self._taken(name)
        offsets = self.store.append(batch)
        for name, record, offset in zip(names, batch, offsets, strict=True):
            self._index.apply(record.kind, name, entry_of(record, offset))
        self._positions = None

    def _taken(self, name: str) -> TaskExists:
        return TaskExists(
            f"{self.path}: task {name!r} is there already; choose another name or remove it first"
        )
