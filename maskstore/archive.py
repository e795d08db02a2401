"""MaskArchive: masks by task name in one HDF5 file, with a database's promises."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from maskstore import codecs
from maskstore.device import FileDevice, sync_folder
from maskstore.errors import (
    ArchiveClosed,
    CorruptArchive,
    InvalidInput,
    TaskExists,
    TaskNotFound,
)
from maskstore.files import create_file, open_file, replace_file
from maskstore.format import (
    KIND_MASK,
    KIND_METADATA,
    KIND_REMOVE,
)
from maskstore.index import Damage, Entry, Index, entry_of, payload_of
from maskstore.layout import MaskLayout, count_ones, sha256_of_bits
from maskstore.metadata import decode_metadata, encode_json, encode_metadata, parse_name
from maskstore.packed import PackedMasks
from maskstore.remote import RemoteDevice
from maskstore.store import Record, Store

_BATCH_BYTES = 1 << 25
_BLOCK = 32

MaskItem = tuple[str, Mapping[str, np.ndarray], Mapping[str, Any]]
"""What ``add_many`` takes for one task: name, masks, metadata."""


class StoredTask(NamedTuple):
    """What the index knows of one task.

    Attributes:
        index: position in order of arrival, from 0.
        bits: bits in the mask (the layout's d).
        ones: set bits.
        bytes: stored bytes of the coded mask.
        sha256: hex digest of the packed bits (:func:`maskstore.layout.sha256_of_bits`).
    """

    name: str
    index: int  # type: ignore[assignment]  # a field, not tuple.index
    bits: int
    ones: int
    codec: str
    bytes: int
    sha256: str
    metadata: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The entry of ``list --json``."""
        return self._asdict()


class MaskArchive:
    """Masks of one layout in an HDF5 file. Make one with :meth:`create` or :meth:`open`.

    Every change is atomic and durable: after a crash the next open sees the last committed state.
    Threads may share an archive: a transaction keeps other writers out until it is done.
    One writer at a time holds a lock from open to close; readers need none, block nobody, and see
    the state at their open or last :meth:`refresh`.
    """

    def __init__(self, store: Store, path: str | Path, *, lock: bool = True) -> None:
        """Used by :meth:`create` and :meth:`open`."""
        self.path = path
        self._lock = lock
        self._store: Store | None = store
        self._index = Index(store)
        self._in_transaction = False
        self._mutex = threading.RLock()
        self._positions: dict[str, int] | None = None
        try:
            self.layout = MaskLayout.from_json(store.header.get("layout"))
        except InvalidInput as error:
            raise CorruptArchive(f"{path}: unusable header ({error})") from error
        self.backbone: dict[str, Any] | None = store.header.get("backbone")
        """Recipe that regenerates the weights, as JSON."""
        self.weights_digest: str | None = store.header.get("weights_digest")
        """sha256 (hex) of the weights that the masks were trained on."""
        self.prior = codecs.Prior.of_archive(self.layout, self.backbone)
        """What the codecs know of every mask here."""
        self.parameters: int | None = store.header.get("parameters")
        """Weights of a dense model of the backbone."""
        example = store.header.get("metadata_example")
        self.metadata_example: bytes = encode_json(f"{path}: header", example) if example else b""
        """JSON that stored metadata is compressed against (:mod:`maskstore.metadata`)."""

    # ------------------------------------------------------------ open and close

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def store(self) -> Store:
        """The file behind the archive; raises ArchiveClosed after :meth:`close`."""
        if self._store is None:
            raise ArchiveClosed(f"{self.path}: the archive is closed")
        return self._store

    # ------------------------------------------------------------ read

    def __len__(self) -> int:
        return len(self._index.entries)

    def __contains__(self, name: object) -> bool:
        return name in self._index.entries

    def __iter__(self) -> Iterator[StoredTask]:
        for index, (name, entry) in enumerate(list(self._index.entries.items())):
            yield self._stored_task(name, entry, index)

    def names(self) -> list[str]:
        """Task names in order of arrival."""
        return list(self._index.entries)

    def task(self, name: str) -> StoredTask:
        """What the index knows of one task; raises TaskNotFound."""
        entry = self.entry(name)
        if self._positions is None:
            self._positions = {each: at for at, each in enumerate(self._index.entries)}
        return self._stored_task(name, entry, self._positions[name])

    def get(self, name: str) -> dict[str, Bool[np.ndarray, "..."]]:
        """The mask of a task: layer name → boolean array.

        Raises:
            TaskNotFound: there is no such task.
            CorruptArchive: what is stored is not what was added.
        """
        return self.layout.unpack(self.get_packed(name))

    def get_packed(self, name: str) -> UInt8[np.ndarray, " bytes"]:
        """The mask of a task as packed bytes; raises as :meth:`get` does."""
        return self._decode(name, self.entry(name))

    def check_stored(self, name: str) -> None:
        """Compare a task's stored bytes and metadata with their checksums, without decoding.

        Raises:
            TaskNotFound, CorruptArchive: as :meth:`get`.
        """
        self.stored_bytes(name)

    def stored_bytes(self, name: str) -> bytes:
        """A task's mask as it is stored, coded; raises as :meth:`get` does."""
        return payload_of(self.store, name, self.entry(name))

    def packed(self, names: Iterable[str] | None = None) -> PackedMasks:
        """The masks of ``names`` (all, in order of arrival, by default), one bit a weight."""
        if isinstance(names, str):
            raise InvalidInput(f"packed: expected task names, got the text {names!r}")
        chosen = tuple(self.names() if names is None else names)
        bits = np.empty((len(chosen), self.layout.packed_bytes), np.uint8)
        entries = [self.entry(name) for name in chosen]

        def decode(block: range) -> None:
            for at in block:
                bits[at] = self._decode(chosen[at], entries[at])

        # Blocks, as one mask is too little work for a thread's turn.
        blocks = [range(len(chosen))[at : at + _BLOCK] for at in range(0, len(chosen), _BLOCK)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(decode, blocks))
        return PackedMasks(layout=self.layout, names=chosen, bits=bits)

    @property
    def file_bytes(self) -> int:
        """Length of the file."""
        return self.store.device.size()

    @property
    def damage(self) -> list[Damage]:
        """Index rows that can not be trusted; ``maskstore.verify`` looks at everything else."""
        return list(self._index.damage)

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

    # ------------------------------------------------------------ write

    def add(
        self,
        name: str,
        masks: Mapping[str, np.ndarray],
        metadata: Mapping[str, Any] | None = None,
        *,
        codec: str = "auto",
    ) -> StoredTask:
        """Add the mask of one task.

        Args:
            masks: layer name → boolean array, exactly the layout's layers.
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
        added = 0
        with self.transaction():
            batch: list[tuple[str, Record]] = []
            seen: set[str] = set()
            size = 0
            for name, masks, metadata in items:
                encoded_name = parse_name(name)
                if name in self._index.entries or name in seen:
                    raise self._taken(name)
                packed = self.layout.pack(masks)
                used, payload = codecs.encode(packed, self.prior.of_task(metadata), chosen)
                record = Record(
                    kind=KIND_MASK,
                    name=encoded_name,
                    metadata=encode_metadata(name, metadata, self.metadata_example),
                    payload=payload,
                    codec=used.id,
                    ones=count_ones(packed),
                    sha256=sha256_of_bits(packed),
                )
                batch.append((name, record))
                seen.add(name)
                size += len(payload) + len(record.metadata)
                added += 1
                if size > _BATCH_BYTES:
                    self._append(batch)
                    batch, seen, size = [], set(), 0
            self._append(batch)
        return added

    def remove(self, name: str) -> None:
        """Remove a task; its bytes come back with ``maskstore.compact``. Raises TaskNotFound."""
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

    # ------------------------------------------------------------ inside

    def entry(self, name: str) -> Entry:
        """Where a task's payload lies; raises TaskNotFound."""
        self.store  # noqa: B018 - a closed archive says so, whatever is asked of it
        try:
            return self._index.entries[name]
        except (KeyError, TypeError):
            damaged = len(self._index.damage)
            hint = f" ({damaged} damaged index rows: run `supsup-store verify`)" if damaged else ""
            raise TaskNotFound(
                f"{self.path}: no task {name!r} among its {len(self)} tasks{hint}; "
                "`supsup-store list` shows them"
            ) from None

    def _decode(self, name: str, entry: Entry) -> UInt8[np.ndarray, " bytes"]:
        payload = payload_of(self.store, name, entry)
        try:
            packed = codecs.codec_of_id(entry.codec).decode(payload, self.prior)
        except CorruptArchive as error:
            raise CorruptArchive(f"{self.path}: task {name!r} is damaged: {error}") from error
        computed = sha256_of_bits(packed)
        if count_ones(packed) != entry.ones:
            raise CorruptArchive(
                f"{self.path}: task {name!r} is damaged: {count_ones(packed)} ones, "
                f"{entry.ones} were recorded"
            )
        if computed != entry.sha256 or not self.layout.has_clean_padding(packed):
            raise CorruptArchive(
                f"{self.path}: task {name!r} is damaged: its bits have sha256 {computed.hex()}, "
                f"{entry.sha256.hex()} was recorded; other tasks stay readable"
            )
        return packed

    def _stored_task(self, name: str, entry: Entry, index: int) -> StoredTask:
        try:
            metadata = decode_metadata(entry.metadata, self.metadata_example)
        except CorruptArchive as error:
            raise CorruptArchive(f"{self.path}: task {name!r}: {error}") from error
        codec = codecs.BY_ID.get(entry.codec)
        return StoredTask(
            name=name,
            index=index,
            bits=self.layout.bits,
            ones=entry.ones,
            codec=codec.name if codec else f"unknown ({entry.codec})",
            bytes=entry.payload_bytes,
            sha256=entry.sha256.hex(),
            metadata=metadata,
        )
