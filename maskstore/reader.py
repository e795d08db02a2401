"""ArchiveReader: the tasks of an archive file and their masks, read and checked."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
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
from maskstore.storage.index import Damage, Entry, Index, payload_of
from maskstore.storage.metadata import decode_metadata, encode_json
from maskstore.storage.store import Store
from maskstore.storage.tensor_rows import describe_tensors, read_tensors, stored_tensors
from maskstore.tensors import StoredSet, TensorInfo

Value = TypeVar("Value")

_BLOCK = 32
_KEPT_BYTES = 1 << 22
"""What the masks that others are coded against may take together, once decoded."""


class ArchiveReader(TaskAccess):
    """The committed state of one :class:`Store`. Users open it as a ``MaskArchive``."""

    def __init__(self, store: Store, path: str | Path) -> None:
        """Read the index; ``path`` is what error messages call the file."""
        self.path = path
        self._store: Store | None = store
        self._index = Index(store)
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
        self._references: LruCache[bytes, UInt8[np.ndarray, " bytes"]] = LruCache(
            _KEPT_BYTES, lambda packed: packed.nbytes
        )
        self.parameters: int | None = store.header.get("parameters")
        """Weights of a dense model of the backbone."""
        example = store.header.get("metadata_example")
        self.metadata_example: bytes = encode_json(f"{path}: header", example) if example else b""
        """JSON that stored metadata is compressed against (:mod:`maskstore.storage.metadata`)."""

    @property
    def store(self) -> Store:
        """The file behind the archive; raises ArchiveClosed once that is closed."""
        if self._store is None:
            raise ArchiveClosed(f"{self.path}: the archive is closed")
        return self._store

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[StoredTask]:
        for index, (name, entry) in enumerate(self._index.items()):
            yield self._stored_task(name, entry, index)

    def names(self) -> list[str]:
        """Task names in order of arrival."""
        return self._index.names()

    def task(self, name: str) -> StoredTask:
        """What the index knows of one task; raises TaskNotFound."""
        entry = self.entry(name)
        if self._positions is None:
            self._positions = {each: at for at, each in enumerate(self.names())}
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
        return read_tensors(self.store, f"task {name!r}", self.tensor_entry(name))

    @property
    def shared(self) -> dict[str, tuple[TensorInfo, ...]]:
        """The sets of tensors that belong to the archive, by name: what each holds.

        Raises:
            CorruptArchive: what describes them is damaged.
        """
        return {
            name: describe_tensors(self.store, f"shared tensors {name!r}", entry)
            for name, entry in self.shared_entries.items()
        }

    def shared_tensors(self, name: str) -> dict[str, Shaped[np.ndarray, "..."]]:
        """A set of tensors that belongs to the archive; empty where there is none of that name.

        Raises:
            CorruptArchive: what is stored is not what was set.
        """
        entry = self.shared_entries.get(name)
        return read_tensors(self.store, f"shared tensors {name!r}", entry)

    def check_stored(self, name: str) -> None:
        """Compare all stored bytes that a task needs with their checksums, without decoding.

        Raises:
            TaskNotFound, CorruptArchive: as :meth:`get`.
        """
        self.stored_tensors(name)
        stored = self.stored_bytes(name)
        if self.entry(name).codec == HistoryCodec.id:
            try:
                self._first_sound(reference_of(stored), lambda *task: payload_of(self.store, *task))
            except CorruptArchive as error:
                raise CorruptArchive(f"{self.path}: task {name!r} is damaged: {error}") from error

    def stored_bytes(self, name: str) -> bytes:
        """A task's mask as it is stored, coded; raises as :meth:`get` does."""
        return payload_of(self.store, name, self.entry(name))

    def stored_tensors(self, name: str) -> StoredSet | None:
        """A task's tensors as they are stored, if it has any; raises as :meth:`get` does."""
        entry = self.tensor_entry(name)
        return None if entry is None else stored_tensors(self.store, f"task {name!r}", entry)

    def stored_shared(self, name: str) -> StoredSet:
        """A set of the archive's own tensors as it is stored; raises as :meth:`shared_tensors`."""
        return stored_tensors(self.store, f"shared tensors {name!r}", self.shared_entries[name])

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

        # Blocks, as one mask can be too little work for a thread's turn; yet some for every core.
        size = max(1, min(_BLOCK, len(chosen) // (4 * THREADS)))
        blocks = (range(len(chosen))[at : at + size] for at in range(0, len(chosen), size))
        for _ in map_ahead(decode, blocks):
            pass
        return PackedMasks(layout=self.layout, names=chosen, bits=bits)

    @property
    def decoding_prior(self) -> codecs.Prior:
        """What decoders know: ``prior``, and the masks that others are coded against."""
        # Not kept: an archive that knows itself would not close when it is dropped.
        return replace(self.prior, find=self._reference)

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
        return list(self._index.damage)

    @property
    def shared_entries(self) -> dict[str, Entry]:
        """Where each set of the archive's own tensors lies."""
        self.store  # noqa: B018 - a closed archive says so, whatever is asked of it
        return dict(self._index.shared)

    def tensor_entry(self, name: str) -> Entry | None:
        """Where a task's tensors lie, if it has any; raises TaskNotFound."""
        self.entry(name)
        return self._index.tensors_of(name)

    def entry(self, name: str) -> Entry:
        """Where a task's payload lies; raises TaskNotFound."""
        self.store  # noqa: B018 - a closed archive says so, whatever is asked of it
        try:
            return self._index[name]
        except (KeyError, TypeError):
            hint = did_you_mean(name, self.names())
            if damaged := len(self._index.damage):
                hint += f" ({damaged} damaged index rows: run `supsup-store verify`)"
            message = f"{self.path}: no task {name!r} among its {len(self)} tasks{hint}"
            raise TaskNotFound(f"{message}; `supsup-store list` shows them") from None

    def _decode(self, name: str, entry: Entry) -> UInt8[np.ndarray, " bytes"]:
        payload = payload_of(self.store, name, entry)
        try:
            packed = codecs.codec_of_id(entry.codec).decode(payload, self.decoding_prior)
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

    def _reference(self, digest: bytes) -> UInt8[np.ndarray, " bytes"]:
        """The mask that others are coded against."""

        def decode() -> UInt8[np.ndarray, " bytes"]:
            return self._first_sound(digest, self._decode)

        return self._references.get(digest, decode)

    def _first_sound(self, digest: bytes, read: Callable[[str, Entry], Value]) -> Value:
        """What ``read`` gives of a reference; of several equal ones, of the first that is sound."""
        candidates = self._index.find(digest)
        if not candidates:
            raise CorruptArchive(
                f"it is coded against the mask whose sha256 begins with {digest.hex()}, and the "
                "archive has no such mask that stands for itself"
            )
        for name, entry in candidates:
            try:
                return read(name, entry)
            except CorruptArchive as error:
                live = name in self._index and self._index[name].offset == entry.offset
                removed = "" if live else "removed "
                failure = CorruptArchive(
                    f"it is coded against the {removed}task {name!r}, which is damaged"
                )
                failure.__cause__ = error
        raise failure

    def _describe(self, name: str) -> tuple[TensorInfo, ...]:
        entry = self._index.tensors_of(name)
        return () if entry is None else describe_tensors(self.store, f"task {name!r}", entry)

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
            tensors=self._describe(name) if self._index.has_tensors else (),
        )
