"""Records: what a transaction adds, as the bytes of an extent."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from maskstore.format import Extent, encode_row


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
