"""What a transaction adds, rows with text and payloads, and the room that is made for them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from maskstore.storage.format import Extent, encode_row

MIN_ROWS = 16
"""Rows that a new extent has room for at least."""
_GROWTH = 8
"""A new extent has room for 1/8 of the rows there are: at most 12.5% of the index is slack."""
_MAX_EXTENT_TEXT_BYTES = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row to append, with its text (the name, then the metadata) and its payload."""

    kind: int
    name: bytes
    metadata: bytes = b""
    payload: bytes = b""
    codec: int = 0
    ones: int = 0
    sha256: bytes = bytes(32)


def encode_records(records: Sequence[Record], extent: Extent) -> tuple[bytes, bytes, list[int]]:
    """(rows, text, file offset of each payload) of records that follow what ``extent`` holds."""
    rows, text = bytearray(), bytearray()
    heap_bytes = extent.heap_bytes
    offsets = []
    for record in records:
        about = record.name + record.metadata
        rows += encode_row(
            about,
            payload_offset=heap_bytes,
            payload_bytes=len(record.payload),
            text_offset=extent.text_bytes + len(text),
            metadata_bytes=len(record.metadata),
            name_bytes=len(record.name),
            codec=record.codec,
            kind=record.kind,
            ones=record.ones,
            payload_crc32=zlib.crc32(record.payload),
            sha256=record.sha256,
        )
        offsets.append(extent.heap_offset + heap_bytes)
        heap_bytes += len(record.payload)
        text += about
    return bytes(rows), bytes(text), offsets


def count_fitting(records: Sequence[Record], extent: Extent) -> int:
    """How many of the records, the first ones, an extent has room for."""
    text = extent.text_capacity - extent.text_bytes
    fitting = 0
    for record in records[: extent.index_capacity - extent.rows]:
        text -= len(record.name) + len(record.metadata)
        if text < 0:
            break
        fitting += 1
    return fitting


def room_for(records: Sequence[Record], extents: Sequence[Extent]) -> tuple[int, int]:
    """(rows, bytes of text) of a new extent: for ``records``, in proportion to what there is."""
    total_rows = sum(extent.rows for extent in extents)
    text_bytes = sum(len(each.name) + len(each.metadata) for each in records)
    per_row = sum(extent.text_bytes for extent in extents) // max(total_rows, 1) + 1
    rows = max(len(records), MIN_ROWS, total_rows // _GROWTH)
    return rows, min(max(text_bytes, rows * per_row), _MAX_EXTENT_TEXT_BYTES)
