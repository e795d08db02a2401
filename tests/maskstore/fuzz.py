"""Damaged and forged archives, made from a sound one."""

import hashlib
import json
import random
import struct
import zlib
from dataclasses import fields, replace

from maskstore.storage.format import (
    EXTENT_BYTES,
    HEADER_OFFSET,
    KIND_SHARED,
    KIND_TENSORS,
    ROW,
    ROW_BYTES,
    ROW_CHECKED_BYTES,
    SECTOR,
    SLOT_OFFSETS,
    Extent,
    Slot,
)
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice

DAMAGE = ("flip", "truncate", "splice", "insert", "zero", "sectors")
FORGERY = ("slot", "table", "row", "header", "payload")
TENSOR_FORGERY = ("description", "checks", "tensor")
"""What only files of version 2 have."""
_INTERESTING = (0, 1, 2, 7, 8, 255, 256, 65_535, 2**24, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


def fuzzed(content: bytes, kind: str, rng: random.Random) -> bytes:
    """One damaged copy of ``content``; a forgery has every checksum made good again."""
    data = bytearray(content)
    return bytes(globals()[f"_{kind}"](data, rng))


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 1, 4, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _truncate(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def _splice(data: bytearray, rng: random.Random) -> bytearray:
    length = rng.randrange(1, 2000)
    source, target = rng.randrange(len(data)), rng.randrange(len(data))
    piece = data[source : source + length]
    data[target : target + len(piece)] = piece
    return data


def _insert(data: bytearray, rng: random.Random) -> bytearray:
    at = rng.randrange(len(data))
    return data[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 600))) + data[at:]


def _zero(data: bytearray, rng: random.Random) -> bytearray:
    at, length = rng.randrange(len(data)), rng.randrange(1, 5000)
    data[at : at + length] = bytes(len(data[at : at + length]))
    return data


def _sectors(data: bytearray, rng: random.Random) -> bytearray:
    a, b = (rng.randrange(len(data) // SECTOR) * SECTOR for _ in range(2))
    data[a : a + SECTOR], data[b : b + SECTOR] = data[b : b + SECTOR], data[a : a + SECTOR]
    return data


def _newest(data: bytearray) -> Slot:
    slots = [Slot.decode(bytes(data[at : at + SECTOR])) for at in SLOT_OFFSETS]
    return max((slot for slot in slots if slot), key=lambda slot: slot.generation)


def _put_slot(data: bytearray, slot: Slot) -> bytearray:
    at = SLOT_OFFSETS[slot.generation % 2]
    data[at : at + SECTOR] = slot.encode()
    return data


def _number(rng: random.Random, size: int) -> int:
    value = rng.choice((*_INTERESTING, rng.randrange(2**64)))
    return value % 2 ** (8 * size)


def _slot(data: bytearray, rng: random.Random) -> bytearray:
    slot = _newest(data)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(
            [each.name for each in fields(Slot) if each.name not in ("generation", "version")]
        )
        wide = name in ("table_offset", "heap_bytes", "end_of_file")
        slot = replace(slot, **{name: _number(rng, 8 if wide else 4)})
    return _put_slot(data, slot)


def _table(data: bytearray, rng: random.Random) -> bytearray:
    slot = _newest(data)
    for _ in range(rng.choice((1, 2))):
        entry = slot.table_offset + rng.randrange(slot.table_extents) * EXTENT_BYTES
        at, size = rng.choice(
            [(0, 8), (8, 8), (16, 8), (24, 4), (28, 4), (32, 4), (36, 4), (40, 8), (48, 8)]
        )
        data[entry + at : entry + at + size] = _number(rng, size).to_bytes(size, "little")
    table = data[slot.table_offset : slot.table_offset + slot.table_extents * EXTENT_BYTES]
    return _put_slot(data, replace(slot, table_crc32=zlib.crc32(table)))


def _row(data: bytearray, rng: random.Random) -> bytearray:
    extents = [each for each in Store(MemoryDevice(bytes(data)), "m").extents if each.rows]
    for _ in range(rng.choice((1, 3))):
        extent = rng.choice(extents)
        start = extent.index_offset + rng.randrange(extent.rows) * ROW_BYTES
        name = rng.choice([each for each in ROW.names or () if each != "crc32"])
        dtype, at = ROW.fields[name][:2]
        new = (
            bytes(rng.randrange(256) for _ in range(32))
            if dtype.shape
            else _number(rng, dtype.itemsize).to_bytes(dtype.itemsize, "little")
        )
        data[start + at : start + at + dtype.itemsize] = new
        row = data[start : start + ROW_CHECKED_BYTES]
        text_at, metadata_bytes, name_bytes = struct.unpack_from("<IIH", row, 12)
        text = data[extent.text_offset : extent.text_offset + extent.text_bytes]
        about = text[text_at : text_at + metadata_bytes + name_bytes]
        data[start + ROW_CHECKED_BYTES : start + ROW_BYTES] = struct.pack(
            "<I", zlib.crc32(about, zlib.crc32(row))
        )
    return data


def _header(data: bytearray, rng: random.Random) -> bytearray:
    slot = _newest(data)
    header = json.loads(data[HEADER_OFFSET : HEADER_OFFSET + slot.header_bytes])
    header["layout"] = rng.choice(
        [
            None,
            [],
            [{"name": "w", "shape": [rng.choice((1, 2**20, 2**31, 2**62, -1))] * 2}],
            [{"name": "w", "shape": []}],
            [{"name": "w", "shape": [1] * 100}],
            {"w": 1},
            header["layout"][:1],
        ]
    )
    text = json.dumps(header).encode()[: slot.header_bytes].ljust(slot.header_bytes)
    data[HEADER_OFFSET : HEADER_OFFSET + len(text)] = text
    return _put_slot(data, replace(slot, header_crc32=zlib.crc32(text)))


def _payload(data: bytearray, rng: random.Random) -> bytearray:
    """Other stored bytes under a good crc32 and row: only the sha256 can tell."""
    extents = [each for each in Store(MemoryDevice(bytes(data)), "m").extents if each.rows]
    extent = rng.choice(extents)
    start = extent.index_offset + rng.randrange(extent.rows) * ROW_BYTES
    offset, length = struct.unpack_from("<QI", data, start)
    at = extent.heap_offset + offset
    for _ in range(rng.choice((1, 5))):
        if length:
            data[at + rng.randrange(length)] ^= 1 << rng.randrange(8)
    struct.pack_into("<I", data, start + 28, zlib.crc32(data[at : at + length]))
    row = data[start : start + ROW_CHECKED_BYTES]
    text_at, metadata_bytes, name_bytes = struct.unpack_from("<IIH", row, 12)
    text = data[extent.text_offset + text_at :][: metadata_bytes + name_bytes]
    struct.pack_into("<I", data, start + ROW_CHECKED_BYTES, zlib.crc32(text, zlib.crc32(row)))
    return data


def _tensor_row(data: bytearray, rng: random.Random) -> tuple[Extent, int]:
    """(extent, offset of the row) of some tensors."""
    rows = []
    for extent in Store(MemoryDevice(bytes(data)), "m").extents:
        for number in range(extent.rows):
            start = extent.index_offset + number * ROW_BYTES
            if data[start + 23] in (KIND_TENSORS, KIND_SHARED):
                rows.append((extent, start))
    return rng.choice(rows)


def _seal(data: bytearray, extent: Extent, start: int, payload: bytes) -> bytearray:
    """Make the checksums of a row good for ``payload`` and for what its text is now."""
    struct.pack_into("<I", data, start + 28, zlib.crc32(payload))
    text_at, metadata_bytes, name_bytes = struct.unpack_from("<IIH", data, start + 12)
    text = data[extent.text_offset + text_at :][: metadata_bytes + name_bytes]
    row = data[start : start + ROW_CHECKED_BYTES]
    struct.pack_into("<I", data, start + ROW_CHECKED_BYTES, zlib.crc32(text, zlib.crc32(row)))
    return data


def _payload_at(data: bytearray, extent: Extent, start: int) -> tuple[int, int]:
    offset, length = struct.unpack_from("<QI", data, start)
    return extent.heap_offset + offset, length


def _description(data: bytearray, rng: random.Random) -> bytearray:
    """Other names, types, shapes, counts or lengths of tensors."""
    extent, start = _tensor_row(data, rng)
    text_at, metadata_bytes, name_bytes = struct.unpack_from("<IIH", data, start + 12)
    at = extent.text_offset + text_at + name_bytes
    where = at + rng.randrange(metadata_bytes)
    size = min(rng.choice((1, 1, 2, 4)), at + metadata_bytes - where)
    choices = (b"0", b"9", b",", b"[", b"4", bytes([rng.randrange(256)]))
    data[where : where + size] = (
        rng.choice(choices) * size
        if rng.random() < 0.7
        else _number(rng, size).to_bytes(size, "little")
    )
    begin, length = _payload_at(data, extent, start)
    return _seal(data, extent, start, bytes(data[begin : begin + length]))


def _checks(data: bytearray, rng: random.Random) -> bytearray:
    """Other checksums and codings of tensors."""
    extent, start = _tensor_row(data, rng)
    begin, length = _payload_at(data, extent, start)
    count = max(1, length // 40)
    for _ in range(rng.choice((1, 3))):
        where = begin + rng.randrange(min(length, 37 * count))
        data[where] = rng.choice((0, 1, 2, 255, rng.randrange(256)))
    return _seal(data, extent, start, bytes(data[begin : begin + length]))


def _tensor(data: bytearray, rng: random.Random) -> bytearray:
    """Other coded bytes of a tensor under a good CRC-32, at times with a sha256 of their own."""
    extent, start = _tensor_row(data, rng)
    begin, length = _payload_at(data, extent, start)
    text_at, _, name_bytes = struct.unpack_from("<IIH", data, start + 12)
    at = extent.text_offset + text_at + name_bytes
    (count,) = struct.unpack_from("<H", data, at)
    lengths = struct.unpack_from(f"<{count}I", data, at + 2)
    which = rng.randrange(count)
    stored = begin + 37 * count + sum(lengths[:which])
    for _ in range(rng.choice((1, 5))):
        if lengths[which]:
            where = stored + rng.randrange(lengths[which])
            data[where] = rng.choice((0, 1, 255, rng.randrange(256)))
    coded = bytes(data[stored : stored + lengths[which]])
    struct.pack_into("<I", data, begin + 37 * which, zlib.crc32(coded))
    if rng.random() < 0.2:
        data[begin + 37 * which + 5 : begin + 37 * (which + 1)] = hashlib.sha256(coded).digest()
    return _seal(data, extent, start, bytes(data[begin : begin + length]))
