"""MaskArchive: masks by task name in one HDF5 file, with a database's promises."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bitarray import bitarray

from maskstore import codecs
from maskstore.errors import ArchiveClosed, CorruptArchive, InvalidInput, TaskExists
from maskstore.layout import MaskLayout, count_ones, sha256_of_bits
from maskstore.packed import StoredTask
from maskstore.parallel import map_ahead
from maskstore.reader import ArchiveReader
from maskstore.storage.atomic import sync_folder
from maskstore.storage.format import KIND_MASK, KIND_METADATA, KIND_REMOVE, Record
from maskstore.storage.index import Index, entry_of
from maskstore.storage.lifecycle import create_file, open_file, replace_file
from maskstore.storage.metadata import encode_metadata, parse_name
from maskstore.storage.raw_file import FileDevice
from maskstore.storage.remote_file import RemoteDevice
from maskstore.storage.store import Store

_BATCH_BYTES = 1 << 25
_WORTH_A_THREAD = 1 << 15
"""Bits of a mask from which its coding is shared among the cores."""

MaskItem = tuple[str, Mapping[str, np.ndarray | bitarray], Mapping[str, Any]]
"""What ``add_many`` takes for one task: name, masks, metadata."""


class MaskArchive(ArchiveReader):
    """Masks of one layout in an HDF5 file. Make one with :meth:`create` or :meth:`open`.

    Every change is atomic and durable: after a crash the next open sees the last committed state.
    Threads may share an archive: a transaction keeps other writers out until it is done. Only
    :meth:`refresh` and ``compact``, which go over to another file, want it to themselves.
    One writer at a time holds a lock from open to close; readers need none, block nobody, and see
    the state at their open or last :meth:`refresh`.
    """

    def __init__(self, store: Store, path: str | Path, *, lock: bool = True) -> None:
        """Used by :meth:`create` and :meth:`open`."""
        super().__init__(store, path)
        self._lock = lock
        self._in_transaction = False
        self._mutex = threading.RLock()

    @classmethod
    def create(
        cls,
        path: str | Path,
        layout: MaskLayout | Mapping[str, tuple[int, ...]],
        *,
        backbone: Mapping[str, Any] | None = None,
        weights_digest: str | None = None,
        parameters: int | None = None,
        metadata_example: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
        lock: bool = True,
    ) -> "MaskArchive":
        """Make an empty archive and hold it open for writing.

        Args:
            backbone: the recipe that regenerates the weights, as JSON.
            weights_digest: sha256 (hex) of those weights.
            parameters: weights of a dense model of the backbone (the bits of a mask by default).
            metadata_example: metadata as tasks will have it; what is like it costs few bytes.

        Raises:
            ArchiveExists: there is a file at ``path``; it is left as it is.
            ArchiveWriteError: the folder is missing or not writable, or the disk is full.
            InvalidInput: the layout or the recipe cannot be stored.
        """
        if not isinstance(layout, MaskLayout):
            layout = MaskLayout(dict(layout))
        header = {
            "layout": layout.to_json(),
            "backbone": None if backbone is None else dict(backbone),
            "weights_digest": weights_digest,
            "parameters": parameters,
            "metadata_example": dict(metadata_example or {}),
        }
        path = Path(path)
        return cls(create_file(path, header, timeout=timeout, lock=lock), path, lock=lock)

    @classmethod
    def open(
        cls, path: str | Path, mode: str = "r", *, timeout: float = 10.0, lock: bool = True
    ) -> "MaskArchive":
        """Open an archive to read (``"r"``) or to read and write (``"a"``).

        Args:
            path: a file, or a URL that fsspec knows (``s3://…``) to read by ranges.
            timeout: seconds to wait for another writer.
            lock: False writes without a lock, for file systems that have none.

        Raises:
            ArchiveNotFound, NotAnArchive, UnsupportedVersion, CorruptArchive: as they say.
            ArchiveLocked: another writer held the archive all through ``timeout``.
        """
        if mode not in ("r", "a"):
            raise InvalidInput(f"mode {mode!r} is unknown; use 'r' to read or 'a' to write")
        if isinstance(path, str) and "://" in path:
            if mode == "a":
                raise InvalidInput(f"{path}: a URL can only be read; copy the archive to write")
            store = Store(RemoteDevice(path), path)
        else:
            store = open_file(Path(path), mode, timeout=timeout, lock=lock)
        try:
            archive = cls(store, path, lock=lock)
            if mode == "a" and archive._index.damage:
                raise CorruptArchive(
                    f"{path}: {archive._index.damage[0].cause}; nothing is written to a damaged "
                    "archive: read it, or salvage it with `supsup-store repair`"
                )
        except BaseException:
            store.device.close()
            raise
        return archive

    def close(self) -> None:
        """Release the file and the lock. Closing twice does nothing."""
        if self._store is not None:
            self._store.device.close()
            self._store = None

    def __enter__(self) -> "MaskArchive":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def refresh(self) -> bool:
        """See what other processes committed since; True if anything changed."""
        device = self.store.device
        if isinstance(device, FileDevice) and device.is_replaced():
            fresh = open_file(device.path, "r", timeout=0, lock=False)
            if fresh.header != self.store.header:
                fresh.device.close()
                raise CorruptArchive(f"{self.path}: replaced by another archive; open it again")
            self.store.device.close()
            self._store = fresh
        elif isinstance(device, RemoteDevice):
            self._store = Store(RemoteDevice(device.url), device.url)
        elif not self.store.refresh():
            return False
        self._reload()
        return True

    def add(
        self,
        name: str,
        masks: Mapping[str, np.ndarray | bitarray],
        metadata: Mapping[str, Any] | None = None,
        *,
        codec: str = "auto",
    ) -> StoredTask:
        """Add the mask of one task.

        Args:
            masks: layer name → boolean array or bitarray (:meth:`MaskLayout.pack`), all layers.
            metadata: JSON to keep with the task.
            codec: ``"auto"`` takes the smallest.

        Raises:
            InvalidName, InvalidMask, InvalidInput: nothing was added.
            TaskExists: there is a task of that name.
            ArchiveWriteError: the system refused; the file is as before.
        """
        self.add_many([(name, masks, metadata or {})], codec=codec)
        return self._stored_task(name, self.entry(name), len(self) - 1)

    def add_many(self, items: Iterable[MaskItem], *, codec: str = "auto") -> int:
        """Add any number of tasks in one transaction; returns how many. Raises as :meth:`add`."""
        chosen = codecs.parse_codec(codec)
        with self.transaction():
            batch: list[tuple[str, Record]] = []
            size = added = 0
            # Small masks are coded in less time than a thread takes to begin.
            on_cores = map_ahead if self.layout.bits >= _WORTH_A_THREAD else map
            for name, record in on_cores(
                lambda item: self._record(item, chosen), self._with_new_names(items)
            ):
                batch.append((name, record))
                size += len(record.payload) + len(record.metadata)
                added += 1
                if size > _BATCH_BYTES:
                    self._append(batch)
                    batch, size = [], 0
            self._append(batch)
        return added

    def remove(self, name: str) -> None:
        """Remove a task; compacting brings its bytes back. Raises TaskNotFound."""
        self.entry(name)
        with self.transaction():
            self._append([(name, Record(kind=KIND_REMOVE, name=name.encode()))])

    def update(self, name: str, metadata: Mapping[str, Any]) -> StoredTask:
        """Replace a task's metadata. Raises TaskNotFound, InvalidInput."""
        self.entry(name)
        stored = encode_metadata(name, metadata, self.metadata_example)
        record = Record(kind=KIND_METADATA, name=name.encode(), metadata=stored)
        with self.transaction():
            self._append([(name, record)])
        return self.task(name)

    @contextmanager
    def transaction(self) -> Iterator["MaskArchive"]:
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

    def rewrite(self, fill: Callable[[Store], None]) -> None:
        """Put a new file with what ``fill`` appends in the place of this one, and go on with it.

        Raises:
            ArchiveClosed: not open for writing, or inside a transaction.
        """
        with self._mutex:
            old = self.store.device
            self.store.require_writable()
            if self._in_transaction or not isinstance(old, FileDevice):
                raise ArchiveClosed(f"{self.path}: cannot be rewritten inside a transaction")
            entries = self._index.entries
            text = sum(len(name.encode()) + len(entry.metadata) for name, entry in entries.items())
            self._store = replace_file(
                old,
                self.store.header,
                lock=self._lock,
                rows=len(entries),
                text_bytes=text,
                fill=fill,
            )
            self._reload()
            old.close()
            sync_folder(old.path.parent)

    def _with_new_names(self, items: Iterable[MaskItem]) -> Iterator[MaskItem]:
        """The items, refused before anything is coded where a name is none or is taken."""
        seen: set[str] = set()
        for item in items:
            parse_name(item[0])
            if item[0] in self._index.entries or item[0] in seen:
                raise self._taken(item[0])
            seen.add(item[0])
            yield item

    def _record(self, item: MaskItem, chosen: tuple[codecs.Codec, ...]) -> tuple[str, Record]:
        name, masks, metadata = item
        packed = self.layout.pack(masks)
        used, payload = codecs.encode(packed, self.prior.of_task(metadata), chosen)
        return name, Record(
            kind=KIND_MASK,
            name=name.encode(),
            metadata=encode_metadata(name, metadata, self.metadata_example),
            payload=payload,
            codec=used.id,
            ones=count_ones(packed),
            sha256=sha256_of_bits(packed),
        )

    def _append(self, batch: list[tuple[str, Record]]) -> None:
        for name, record in batch:
            if record.kind == KIND_MASK and name in self._index.entries:
                raise self._taken(name)
        offsets = self.store.append([record for _, record in batch])
        for (name, record), offset in zip(batch, offsets, strict=True):
            self._index.apply(record.kind, name, entry_of(record, offset))
        self._positions = None

    def _taken(self, name: str) -> TaskExists:
        return TaskExists(
            f"{self.path}: task {name!r} is there already; choose another name or remove it first"
        )
