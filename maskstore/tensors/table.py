"""A set of named tensors as an index row and its payload (docs/format.md, "Tensors").

The row's text describes the set (names, types, shapes, stored bytes), which is all that listing
needs; the payload has a checksum of every tensor, then their coded bytes.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from maskstore.codecs.zstd import expands_too_far
from maskstore.errors import ArchiveError, CorruptArchive, InvalidInput
from maskstore.tensors import coding
from maskstore.tensors.values import (
    DTYPES,
    MAX_AXES,
    MAX_BYTES,
    Values,
    bytes_of,
    is_possible,
    parse_values,
    to_array,
)

MAX_TENSORS = 2**16 - 1
MAX_NAME_BYTES = 255
MAX_SCHEMA_BYTES = 1 << 20
"""Most bytes of the JSON that names the tensors of a set."""

_COUNT = struct.Struct("<H")
_CHECKS = struct.Struct("<IB32s")
# JSON never begins with a zero byte.
_DEFLATED = b"\0"


class TensorInfo(NamedTuple):
    """What the index knows of one tensor.

    Attributes:
        dtype: float32, float16, bfloat16, int8, uint8, int16, int32, int64 or bool.
        bytes: stored bytes, coded.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """An entry of ``tensors`` in ``list --json``."""
        return self._asdict() | {"shape": list(self.shape)}


class StoredSet(NamedTuple):
    """A set of tensors as it is stored.

    Attributes:
        description: text of the row; empty for a set of none.
        sha256: of the names, types, shapes and values.
    """

    description: bytes
    payload: bytes
    sha256: bytes


EMPTY = StoredSet(b"", b"", bytes(32))
_Schema = tuple[tuple[str, tuple[int, ...], str], ...]


def encode_set(what: str, tensors: object) -> StoredSet:
    """Code tensors, exactly.

    Args:
        what: what errors call their owner.
        tensors: name → ``TensorValue``; anything else is refused.

    Raises:
        InvalidInput: a name or a value that cannot be stored, or more than ``MAX_BYTES`` in all.
    """
    if not isinstance(tensors, Mapping):
        raise InvalidInput(f"{what}: tensors: expected name -> array, got {type(tensors).__name__}")
    if not tensors:
        return EMPTY
    values = {
        _parse_name(what, name): parse_values(f"{what}: tensor {name!r}", value)
        for name, value in tensors.items()
    }
    schema = json.dumps(
        [[name, each.dtype, list(each.shape)] for name, each in values.items()],
        separators=(",", ":"),
    ).encode()
    if len(values) > MAX_TENSORS or len(schema) > MAX_SCHEMA_BYTES:
        raise InvalidInput(
            f"{what}: {len(values)} tensors of {len(schema)} bytes of names; at most {MAX_TENSORS} "
            f"and {MAX_SCHEMA_BYTES} are possible"
        )
    coded = [coding.encode(each.data, _item_bytes(each.dtype)) for each in values.values()]
    checks = [
        (number, hashlib.sha256(each.data.tobytes()).digest())
        for (number, _), each in zip(coded, values.values(), strict=True)
    ]
    payload = _payload(coded, [digest for _, digest in checks])
    if expands_too_far(sum(each.data.size for each in values.values()), len(payload)):
        # The reader would take it for a bomb.
        coded = [(coding.RAW, each.data.tobytes()) for each in values.values()]
        payload = _payload(coded, [digest for _, digest in checks])
    if len(payload) > MAX_BYTES:
        raise InvalidInput(
            f"{what}: {len(payload)} bytes of coded tensors, at most {MAX_BYTES} are possible in "
            "one set"
        )
    lengths = [len(stored) for _, stored in coded]
    return StoredSet(
        _COUNT.pack(len(lengths)) + struct.pack(f"<{len(lengths)}I", *lengths) + _deflate(schema),
        payload,
        _set_digest(schema, [digest for _, digest in checks]),
    )


def describe(description: bytes) -> tuple[TensorInfo, ...]:
    """The tensors that a row's text describes; raises CorruptArchive on anything else."""
    if not description:
        return ()
    schema, lengths = _split(description)
    entries = _parse_schema(schema)
    if len(entries) != len(lengths):
        raise CorruptArchive(f"{len(lengths)} tensors are counted and {len(entries)} described")
    return tuple(TensorInfo(*entry, length) for entry, length in zip(entries, lengths, strict=True))


def decode_set(
    what: str, description: bytes, payload: bytes, sha256: bytes
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The inverse of :func:`encode_set`; every value is compared with its sha256.

    Raises:
        CorruptArchive: anything is not as it was written; the message begins with ``what``.
        UnsupportedVersion: coded in a way that this release does not know.
    """
    tensors, digests = {}, []
    for info, number, digest, stored in check_set(what, description, payload):
        size = bytes_of(info.dtype, info.shape)
        try:
            data = coding.decode(number, stored, size, _item_bytes(info.dtype))
            computed = hashlib.sha256(data.tobytes()).digest()
            if computed != digest:
                raise CorruptArchive(
                    f"its values have sha256 {computed.hex()}, {digest.hex()} was recorded"
                )
            tensors[info.name] = to_array(Values(info.dtype, info.shape, data))
        except ArchiveError as error:
            raise type(error)(f"{what}: tensor {info.name!r}: {error}") from error
        digests.append(digest)
    if description and _set_digest(_inflate(_split(description)[0]), digests) != sha256:
        raise CorruptArchive(f"{what}: description and tensors do not belong together")
    return tensors


def check_set(
    what: str, description: bytes, payload: bytes
) -> Iterator[tuple[TensorInfo, int, bytes, bytes]]:
    """(tensor, number of its coding, sha256, stored bytes) of each, compared with its CRC-32.

    Raises:
        CorruptArchive: the message begins with ``what`` and names the tensor.
    """
    try:
        infos = describe(description)
        at = len(infos) * _CHECKS.size
        if len(payload) != at + sum(info.bytes for info in infos):
            raise CorruptArchive(f"{len(payload)} bytes are stored for what describes others")
        if expands_too_far(sum(bytes_of(info.dtype, info.shape) for info in infos), len(payload)):
            raise CorruptArchive(f"{len(payload)} stored bytes claim far more; nothing writes that")
    except CorruptArchive as error:
        raise CorruptArchive(f"{what}: its tensors are damaged: {error}") from error
    for place, info in enumerate(infos):
        crc32, number, digest = _CHECKS.unpack_from(payload, place * _CHECKS.size)
        stored = payload[at : at + info.bytes]
        at += info.bytes
        if zlib.crc32(stored) != crc32:
            raise CorruptArchive(
                f"{what}: tensor {info.name!r} is damaged: its stored bytes have crc32 "
                f"{zlib.crc32(stored):08x}, {crc32:08x} was recorded"
            )
        yield info, number, digest, stored


def _item_bytes(dtype: str) -> int:
    return DTYPES[dtype].itemsize  # of booleans, packed, a byte, too


def _payload(coded: list[tuple[int, bytes]], digests: list[bytes]) -> bytes:
    checks = [
        _CHECKS.pack(zlib.crc32(stored), number, digest)
        for (number, stored), digest in zip(coded, digests, strict=True)
    ]
    return b"".join([*checks, *(stored for _, stored in coded)])


def _set_digest(schema: bytes, digests: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join([schema, *digests])).digest()


def _parse_name(what: str, name: object) -> str:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InvalidInput(f"{what}: a tensor's name must be printable text, got {name!r}")
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise InvalidInput(f"{what}: tensor {name[:40]!r}…: at most {MAX_NAME_BYTES} bytes of name")
    return name


def _deflate(schema: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return min(schema, _DEFLATED + compressor.compress(schema) + compressor.flush(), key=len)


def _inflate(stored: bytes) -> bytes:
    if stored[:1] != _DEFLATED:
        return stored
    try:
        return zlib.decompressobj(-15).decompress(stored[1:], MAX_SCHEMA_BYTES)
    except zlib.error as error:
        raise CorruptArchive(f"names of tensors cannot be inflated ({error})") from error


def _split(description: bytes) -> tuple[bytes, tuple[int, ...]]:
    """(schema as stored, stored bytes of each tensor)."""
    count = _COUNT.unpack_from(description)[0] if len(description) >= _COUNT.size else 0
    end = _COUNT.size + 4 * count
    if not count or len(description) < end:
        raise CorruptArchive("the description of its tensors is cut off")
    return description[end:], struct.unpack_from(f"<{count}I", description, _COUNT.size)


@lru_cache(maxsize=8)  # the tasks of an archive have mostly the same
def _parse_schema(stored: bytes) -> _Schema:
    try:
        parsed = json.loads(_inflate(stored))
    except (ValueError, RecursionError) as error:
        raise CorruptArchive(f"names of tensors are not JSON ({error})") from error
    if not isinstance(parsed, list) or len(parsed) > MAX_TENSORS:
        raise CorruptArchive("names of tensors are not a JSON list")
    entries = tuple(map(_parse_entry, parsed))
    if len({name for name, _, _ in entries}) != len(entries):
        raise CorruptArchive("a tensor's name occurs twice")
    return entries


def _parse_entry(entry: object) -> tuple[str, tuple[int, ...], str]:
    match entry:
        case [str(name), str(dtype), list(shape)] if (
            name
            and name.isprintable()
            and dtype in DTYPES
            and len(shape) <= MAX_AXES
            and all(type(size) is int and 0 <= size <= MAX_BYTES for size in shape)
            and is_possible(dtype, tuple(shape))
        ):
            return name, tuple(shape), dtype
    raise CorruptArchive(f"impossible description of a tensor: {str(entry)[:80]}")
