"""ArchiveReader: the tasks of an archive file and their masks, read and checked."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from bitarray import bitarray
from jaxtyping import Bool, Shaped, UInt8

from maskstore import codecs
from maskstore.access import TaskAccess
from maskstore.codecs.cache import LruCache
from maskstore.codecs.history import HistoryCodec, reference_of
from maskstore.errors import ArchiveClosed, CorruptArchive, InvalidInput, TaskNotFound
from maskstore.layout import MaskLayout, count_ones, sha256_of_bits
from maskstore.packed import PackedMasks, StoredTask
from maskstore.parallel import THREADS, map_ahead
from maskstore.registry import did_you_mean
from maskstore.storage.index import Damage, Entry, Index, Row, payload_of
from maskstore.storage.metadata import decode_metadata, encode_json
from maskstore.storage.store import Store
from maskstore.storage.tensor_rows import describe_tensors, read_tensors, stored_tensors
from maskstore.tensors import StoredSet, TensorInfo

Value = TypeVar("Value")

_BLOCK = 32
_KEPT_BYTES = 1 << 22
"""What the masks that others are coded against may take together, once decoded."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A file and the index of its rows, which belong together: who reads takes both at once."""

    store: Store
    index: Index


class ArchiveReader(TaskAccess):
    """The committed state of one :class:`Store`. Users open it as a ``MaskArchive``."""

    def __init__(self, store: Store, path: str | Path, index: Index | None = None) -> None:
        """Read the index, unless it is given; ``path`` is what error messages call the file."""
        self.path = path
        self._committed: Contents | None = Contents(store, index or Index(store))
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
        self._references: LruCache[bytes, UInt8[np.ndarray, " bytes"]] = LruCache(
            _KEPT_BYTES, lambda packed: packed.nbytes
        )
        self.parameters: int | None = store.header.get("parameters")
        """Weights of a dense model of the backbone."""
        example = store.header.get("metadata_example")
        self.metadata_example: bytes = encode_json(f"{path}: header", example) if example else b""
        """JSON that stored metadata is compressed against (:mod:`maskstore.storage.metadata`)."""

    @property
    def _now(self) -> Contents:
        """What whoever asks sees of the archive; raises ArchiveClosed."""
        if (committed := self._committed) is None:
            raise ArchiveClosed(f"{self.path}: the archive is closed")
        return committed

    @property
    def store(self) -> Store:
        """The file behind the archive; raises ArchiveClosed once that is closed."""
        return self._now.store

    @property
    def state(self) -> object:
        """What tells whether the archive still is as it was seen, compared with ``is``.

        The same object until something is committed or another file is gone over to; whoever keeps
        it keeps it from being another's. Numbers of commits would not do: a file that replaces
        another begins anew. In a transaction of one's own nothing is to be kept.

        Raises:
            ArchiveClosed: it is closed.
        """
        now = self._now
        return now.store.slot if now is self._committed else object()

    def __len__(self) -> int:
        return len(self._now.index)

    def __contains__(self, name: object) -> bool:
        return name in self._now.index

    def __iter__(self) -> Iterator[StoredTask]:
        now = self._now
        for row in now.index.rows():
            yield self._stored_task(now, row)

    def names(self) -> list[str]:
        """Task names in order of arrival."""
        return self._now.index.names()

    def task(self, name: str) -> StoredTask:
        """What the index knows of one task; raises TaskNotFound."""
        now = self._now
        return self._stored_task(now, self._row(now, name))

    def get(self, name: str) -> dict[str, Bool[np.ndarray, "..."]]:
        """The mask of a task: layer name → boolean array.

        Raises:
            TaskNotFound: there is no such task.
            CorruptArchive: what is stored is not what was added.
        """
        return self.layout.unpack(self.get_packed(name))

    def get_packed(self, name: str) -> UInt8[np.ndarray, " bytes"]:
        """The mask of a task as packed bytes; raises as :meth:`get` does."""
        now = self._now
        return self._decode(now, name, self._row(now, name).entry)

    def bitarrays(self, name: str, *, exact: bool = False) -> dict[str, bitarray]:
        """The mask of a task as bits: layer name → bitarray of its weights in C order.

        Args:
            exact: copies without the padding, that can be written to; else read-only, with up to
                seven zeros behind the last weight.

        Raises:
            TaskNotFound, CorruptArchive: as :meth:`get`.
        """
        return self.layout.bitarrays(self.get_packed(name), exact=exact)

    def tensors(self, name: str) -> dict[str, Shaped[np.ndarray, "..."]]:
        """The tensors of a task, new arrays; bfloat16 comes back as float32. Raises as :meth:`get`.

        ``task(name).tensors`` tells their names, shapes, types and stored bytes.
        """
        now = self._now
        return read_tensors(now.store, f"task {name!r}", self._row(now, name).tensors)

    @property
    def shared(self) -> dict[str, tuple[TensorInfo, ...]]:
        """The sets of tensors that belong to the archive, by name: what each holds.

        Raises:
            CorruptArchive: what describes them is damaged.
        """
        now = self._now
        return {
            name: describe_tensors(now.store, f"shared tensors {name!r}", entry)
            for name, entry in now.index.shared.items()
        }

    def shared_tensors(self, name: str) -> dict[str, Shaped[np.ndarray, "..."]]:
        """A set of tensors that belongs to the archive; empty where there is none of that name.

        Raises:
            CorruptArchive: what is stored is not what was set.
        """
        now = self._now
        return read_tensors(now.store, f"shared tensors {name!r}", now.index.shared.get(name))

    def check_stored(self, name: str) -> None:
        """Compare all stored bytes that a task needs with their checksums, without decoding.

        Raises:
            TaskNotFound, CorruptArchive: as :meth:`get`.
        """
        now = self._now
        row = self._row(now, name)
        self._stored_tensors(now, row)
        stored = payload_of(now.store, name, row.entry)
        if row.entry.codec == HistoryCodec.id:
            try:
                self._first_sound(now, reference_of(stored), partial(payload_of, now.store))
            except CorruptArchive as error:
                raise CorruptArchive(f"{self.path}: task {name!r} is damaged: {error}") from error

    def stored_bytes(self, name: str) -> bytes:
        """A task's mask as it is stored, coded; raises as :meth:`get` does."""
        now = self._now
        return payload_of(now.store, name, self._row(now, name).entry)

    def stored_tensors(self, name: str) -> StoredSet | None:
        """A task's tensors as they are stored, if it has any; raises as :meth:`get` does."""
        now = self._now
        return self._stored_tensors(now, self._row(now, name))

    def _stored_tensors(self, now: Contents, row: Row) -> StoredSet | None:
        if row.tensors is None:
            return None
        return stored_tensors(now.store, f"task {row.name!r}", row.tensors)

    def stored_shared(self, name: str) -> StoredSet:
        """A set of the archive's own tensors as it is stored; raises as :meth:`shared_tensors`."""
        now = self._now
        return stored_tensors(now.store, f"shared tensors {name!r}", now.index.shared[name])

    def packed(self, names: Iterable[str] | None = None) -> PackedMasks:
        """The masks of ``names`` (all, in order of arrival, by default), one bit a weight."""
        if isinstance(names, str):
            raise InvalidInput(f"packed: expected task names, got the text {names!r}")
        now = self._now
        rows = now.index.rows() if names is None else self._rows(now, list(names))
        chosen = tuple(row.name for row in rows)
        try:
            bits = np.empty((len(chosen), self.layout.packed_bytes), np.uint8)
        except MemoryError as error:
            raise InvalidInput(
                f"{self.path}: {len(chosen)} masks of {self.layout.bits} bits take "
                f"{len(chosen) * self.layout.packed_bytes} bytes, more than there is; ask for fewer"
            ) from error

        def decode(block: range) -> None:
            for at in block:
                bits[at] = self._decode(now, chosen[at], rows[at].entry)

        # Blocks, as one mask can be too little work for a thread's turn; yet some for every core.
        size = max(1, min(_BLOCK, len(chosen) // (4 * THREADS)))
        blocks = (range(len(chosen))[at : at + size] for at in range(0, len(chosen), size))
        for _ in map_ahead(decode, blocks):
            pass
        return PackedMasks(layout=self.layout, names=chosen, bits=bits)

    @property
    def decoding_prior(self) -> codecs.Prior:
        """What decoders know: ``prior``, and the masks that others are coded against."""
        return self._prior_for(self._now)

    def _prior_for(self, now: Contents) -> codecs.Prior:
        # Not kept: an archive that knows itself would not close when it is dropped.
        return replace(self.prior, find=partial(self._reference, now))

    @property
    def file_bytes(self) -> int:
        """Length of the file."""
        return self.store.device.size()

    @property
    def format_version(self) -> int:
        """1 until the first commit of what version 2 adds: tensors, a rename."""
        return self.store.slot.version

    @property
    def damage(self) -> list[Damage]:
        """Index rows that can not be trusted; ``maskstore._verify`` looks at everything else."""
        return list(self._now.index.damage)

    @property
    def shared_entries(self) -> dict[str, Entry]:
        """Where each set of the archive's own tensors lies."""
        return self._now.index.shared

    def tensor_entry(self, name: str) -> Entry | None:
        """Where a task's tensors lie, if it has any; raises TaskNotFound."""
        return self._row(self._now, name).tensors

    def entry(self, name: str) -> Entry:
        """Where a task's payload lies; raises TaskNotFound."""
        return self._row(self._now, name).entry

    def _row(self, now: Contents, name: str) -> Row:
        return self._rows(now, [name])[0]

    def _rows(self, now: Contents, names: Sequence[str]) -> list[Row]:
        """Those tasks as they are at one moment; raises TaskNotFound."""
        found = now.index.lookup(names)
        if None in found:
            name = names[found.index(None)]
            hint = did_you_mean(name, now.index.names())
            if damaged := len(now.index.damage):
                hint += f" ({damaged} damaged index rows: run `supsup-store verify`)"
            message = f"{self.path}: no task {name!r} among its {len(now.index)} tasks{hint}"
            raise TaskNotFound(f"{message}; `supsup-store list` shows them")
        return [row for row in found if row is not None]

    def _decode(self, now: Contents, name: str, entry: Entry) -> UInt8[np.ndarray, " bytes"]:
        payload = payload_of(now.store, name, entry)
        try:
            packed = codecs.codec_of_id(entry.codec).decode(payload, self._prior_for(now))
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

    def _reference(self, now: Contents, digest: bytes) -> UInt8[np.ndarray, " bytes"]:
        """The mask that others are coded against."""

        def decode() -> UInt8[np.ndarray, " bytes"]:
            return self._first_sound(now, digest, partial(self._decode, now))

        return self._references.get(digest, decode)

    def _first_sound(
        self, now: Contents, digest: bytes, read: Callable[[str, Entry], Value]
    ) -> Value:
        """What ``read`` gives of a reference; of several equal ones, of the first that is sound."""
        candidates = now.index.find(digest)
        if not candidates:
            raise CorruptArchive(
                f"it is coded against the mask whose sha256 begins with {digest.hex()}, and the "
                "archive has no such mask that stands for itself"
            )
        for name, entry in candidates:
            try:
                return read(name, entry)
            except CorruptArchive as error:
                (now_there,) = now.index.lookup([name])
                live = now_there is not None and now_there.entry.offset == entry.offset
                removed = "" if live else "removed "
                failure = CorruptArchive(
                    f"it is coded against the {removed}task {name!r}, which is damaged"
                )
                failure.__cause__ = error
        raise failure

    def _stored_task(self, now: Contents, row: Row) -> StoredTask:
        name, entry, tensors, position = row
        try:
            metadata = decode_metadata(entry.metadata, self.metadata_example)
        except CorruptArchive as error:
            raise CorruptArchive(f"{self.path}: task {name!r}: {error}") from error
        codec = codecs.BY_ID.get(entry.codec)
        return StoredTask(
            name=name,
            index=position,
            bits=self.layout.bits,
            ones=entry.ones,
            codec=codec.name if codec else f"unknown ({entry.codec})",
            bytes=entry.payload_bytes,
            sha256=entry.sha256.hex(),
            metadata=metadata,
            tensors=()
            if tensors is None
            else describe_tensors(now.store, f"task {name!r}", tensors),
        )
