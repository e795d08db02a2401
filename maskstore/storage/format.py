"""The archive's structures, as bytes: commit slot, extent table, index row (docs/format.md)."""

import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np

from maskstore.storage import hdf5

VERSIONS = (1, 2)
"""Format versions that this release reads. It writes the first until a row needs the second."""
SECTOR = 512
SLOT_OFFSETS = (SECTOR, 2 * SECTOR)
HEADER_OFFSET = 3 * SECTOR
MAX_HEADER_BYTES = 1 << 24
MAX_METADATA_BYTES = 1 << 24
MAX_NAME_BYTES = 255

_SLOT_MAGIC = b"SUPSTORE"
_SLOT = struct.Struct("<8sIIQIIQIIIIQQ")
_CRC = struct.Struct("<I")

KIND_MASK, KIND_METADATA, KIND_REMOVE = 1, 2, 3
KIND_MASK_WITH_TENSORS, KIND_TENSORS, KIND_RENAME, KIND_SHARED = 4, 5, 6, 7
"""Since version 2."""
MASK_KINDS = (KIND_MASK, KIND_MASK_WITH_TENSORS)
KINDS = {1: range(1, 4), 2: range(1, 8)}
"""Format version → kinds of rows that it has."""


def version_of(kind: int) -> int:
    """The first format version that has rows of that kind."""
    return next(version for version, kinds in KINDS.items() if kind in kinds)


ROW = np.dtype(
    [
        ("payload_offset", "<u8"),
        ("payload_bytes", "<u4"),
        ("text_offset", "<u4"),
        ("metadata_bytes", "<u4"),
        ("name_bytes", "<u2"),
        ("codec", "u1"),
        ("kind", "u1"),
        ("ones", "<u4"),
        ("payload_crc32", "<u4"),
        ("sha256", "u1", (32,)),
        ("crc32", "<u4"),
    ]
)
ROW_BYTES = ROW.itemsize
ROW_CHECKED_BYTES = ROW_BYTES - 4
"""The row's crc32 covers these first bytes and then the row's text (name, metadata)."""


_CHECKED_ROW = struct.Struct("<QIIIHBBII32s")


def encode_row(
    text: bytes,
    *,
    payload_offset: int,
    payload_bytes: int,
    text_offset: int,
    metadata_bytes: int,
    name_bytes: int,
    codec: int,
    kind: int,
    ones: int,
    payload_crc32: int,
    sha256: bytes,
) -> bytes:
    """One ``ROW`` with its checksum, which covers ``text``, too."""
    row = _CHECKED_ROW.pack(
        payload_offset,
        payload_bytes,
        text_offset,
        metadata_bytes,
        name_bytes,
        codec,
        kind,
        ones,
        payload_crc32,
        sha256,
    )
    return row + _CRC.pack(zlib.crc32(text, zlib.crc32(row)))


def row_datatype() -> bytes:
    """The HDF5 datatype of an index row, from the same description as the reader's."""
    members = []
    for name in ROW.names or ():
        dtype, offset = ROW.fields[name][:2]  # type: ignore[index]
        members.append(
            (name, offset, hdf5.byte_array(32) if dtype.shape else hdf5.uint(dtype.itemsize))
        )
    return hdf5.compound(members, ROW_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A stretch of the file: index rows, their text, then a heap of payloads.

    Rows and text have a fixed capacity; the heap of the last extent ends where the file ends.
    Offsets are absolute, in bytes; ``group`` is the address of the extent's frozen HDF5 group
    (0 while it is the last one).
    """

    index_offset: int
    text_offset: int
    heap_offset: int
    index_capacity: int
    text_capacity: int
    rows: int = 0
    text_bytes: int = 0
    heap_bytes: int = 0
    group: int = 0

    _STRUCT = struct.Struct("<QQQIIIIQQ")

    def encode(self) -> bytes:
        """The extent's entry in the extent table."""
        return self._STRUCT.pack(
            self.index_offset,
            self.text_offset,
            self.heap_offset,
            self.index_capacity,
            self.text_capacity,
            self.rows,
            self.text_bytes,
            self.heap_bytes,
            self.group,
        )

    @classmethod
    def decode(cls, entry: bytes) -> "Extent":
        """The inverse of :meth:`encode`."""
        fields = cls._STRUCT.unpack(entry)
        return cls(
            index_offset=fields[0],
            text_offset=fields[1],
            heap_offset=fields[2],
            index_capacity=fields[3],
            text_capacity=fields[4],
            rows=fields[5],
            text_bytes=fields[6],
            heap_bytes=fields[7],
            group=fields[8],
        )

    def is_inside(self, end_of_file: int, size: int) -> bool:
        """Whether its rows and text lie in the file's ``size`` and its heap before its end."""
        return (
            self.rows <= self.index_capacity
            and self.text_bytes <= self.text_capacity
            and self.index_offset + self.index_capacity * ROW_BYTES <= size
            and self.text_offset + self.text_capacity <= size
            and self.heap_offset + self.heap_bytes <= end_of_file
        )


EXTENT_BYTES = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One committed state. The valid slot with the higher generation is the archive."""

    version: int
    generation: int
    header_bytes: int
    header_crc32: int
    table_offset: int
    table_extents: int
    table_crc32: int
    rows: int
    text_bytes: int
    heap_bytes: int
    end_of_file: int

    def encode(self) -> bytes:
        """One sector: magic, version, fields, zeros, and a crc32 of all before it."""
        body = _SLOT.pack(
            _SLOT_MAGIC,
            self.version,
            0,
            self.generation,
            self.header_bytes,
            self.header_crc32,
            self.table_offset,
            self.table_extents,
            self.table_crc32,
            self.rows,
            self.text_bytes,
            self.heap_bytes,
            self.end_of_file,
        ).ljust(SECTOR - _CRC.size, b"\0")
        return body + _CRC.pack(zlib.crc32(body))

    @classmethod
    def decode(cls, sector: bytes) -> "Slot | None":
        """The slot, or None where the checksum does not hold."""
        body = sector[: SECTOR - _CRC.size]
        if sector[SECTOR - _CRC.size :] != _CRC.pack(zlib.crc32(body)):
            return None
        fields = _SLOT.unpack_from(body)
        if fields[0] != _SLOT_MAGIC or fields[1] not in VERSIONS:
            return None
        return cls(
            version=fields[1],
            generation=fields[3],
            header_bytes=fields[4],
            header_crc32=fields[5],
            table_offset=fields[6],
            table_extents=fields[7],
            table_crc32=fields[8],
            rows=fields[9],
            text_bytes=fields[10],
            heap_bytes=fields[11],
            end_of_file=fields[12],
        )

    def last_extent(self, extent: Extent) -> Extent:
        """The last extent with the counts of this slot (its table entry is never rewritten)."""
        return replace(
            extent, rows=self.rows, text_bytes=self.text_bytes, heap_bytes=self.heap_bytes
        )


def slot_version(sector: bytes) -> tuple[int, bool] | None:
    """(format version, whether the checksum holds) of a slot of any version; None if it is none.

    Every version will keep the magic, the version and the checksum where they are.
    """
    magic, version = struct.unpack_from("<8sI", sector)
    sound = sector[SECTOR - _CRC.size :] == _CRC.pack(zlib.crc32(sector[: SECTOR - _CRC.size]))
    return (version, sound) if magic == _SLOT_MAGIC else None
