"""Rows of tensors in the file: what they describe, their stored bytes, their values.

A row of tensors belongs to a task or to the archive; ``owner`` is what errors call that.
"""

import zlib

import numpy as np
from jaxtyping import Shaped

from maskstore.errors import CorruptArchive
from maskstore.storage.format import KIND_SHARED, KIND_TENSORS
from maskstore.storage.index import LOST, Entry
from maskstore.storage.records import Record
from maskstore.storage.store import Store
from maskstore.tensors import StoredSet, TensorInfo, check_set, decode_set, describe


def tensor_record(kind: int, name: str, stored: StoredSet) -> Record:
    """The row that sets the tensors of a task (``KIND_TENSORS``) or of the archive."""
    assert kind in (KIND_TENSORS, KIND_SHARED)
    return Record(
        kind=kind,
        name=name.encode(),
        metadata=stored.description,
        payload=stored.payload,
        sha256=stored.sha256,
    )


def describe_tensors(store: Store, owner: str, entry: Entry) -> tuple[TensorInfo, ...]:
    """What a row of tensors describes, for lists: nothing where it is lost.

    Raises:
        CorruptArchive: the description is none.
    """
    try:
        return describe(entry.metadata)
    except CorruptArchive as error:
        raise CorruptArchive(f"{store.name}: {owner}: {error}") from error


def read_tensors(
    store: Store, owner: str, entry: Entry | None
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The tensors of a row, every value compared with its sha256.

    Raises:
        CorruptArchive: the message names the tensor, where one is damaged.
    """
    payload = _read(store, owner, entry)
    if entry is None:
        return {}
    return decode_set(f"{store.name}: {owner}", entry.metadata, payload, entry.sha256)


def stored_tensors(store: Store, owner: str, entry: Entry) -> StoredSet:
    """The tensors of a row as they are stored, compared with all their CRC-32.

    Raises:
        CorruptArchive: the message names the tensor, where one is damaged.
    """
    payload = _read(store, owner, entry)
    for _ in check_set(f"{store.name}: {owner}", entry.metadata, payload):
        pass
    if zlib.crc32(payload) != entry.payload_crc32:
        raise CorruptArchive(f"{store.name}: {owner}: the checksums of its tensors are damaged")
    return StoredSet(entry.metadata, payload, entry.sha256)


def _read(store: Store, owner: str, entry: Entry | None) -> bytes:
    if entry is LOST:
        raise CorruptArchive(
            f"{store.name}: {owner} is damaged: the index row of its tensors is lost; its mask "
            "alone stays readable"
        )
    return b"" if entry is None else store.device.read(entry.offset, entry.payload_bytes)
