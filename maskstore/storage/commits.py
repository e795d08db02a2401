"""The newest committed state of a file, read without trusting a byte of it."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from maskstore.errors import CorruptArchive, InvalidInput, NotAnArchive, UnsupportedVersion
from maskstore.storage import hdf5
from maskstore.storage.format import (
    EXTENT_BYTES,
    HEADER_OFFSET,
    MAX_HEADER_BYTES,
    ROW_BYTES,
    SECTOR,
    SLOT_OFFSETS,
    VERSIONS,
    Extent,
    Slot,
    slot_version,
)
from maskstore.storage.hdf5_view import group_address
from maskstore.storage.metadata import encode_json, reject_constant
from maskstore.storage.raw_file import ReadableDevice

_MAX_EXTENTS = 1 << 16

_SALVAGE = "; `supsup-store repair` salvages the state before the last commit, where that is whole"

State = tuple[Slot, list[Extent], bytes]
"""(commit slot, extents, header)."""


_HEADER_FIELDS: dict[str, type] = {
    "layout": list,
    "backbone": dict,
    "weights_digest": str,
    "parameters": int,
    "metadata_example": dict,
}
"""Field of the header → its type, if it is there."""


_MAX_GENERATION = 2**63
"""More commits than anybody makes; the next one's number must have a place."""


def uncommitted_state(header: bytes, version: int) -> State:
    """That of a file before its first commit."""
    slot = Slot(
        version=version,
        generation=-1,  # the first commit makes it 0, in the first slot
        header_bytes=len(header),
        header_crc32=zlib.crc32(header),
        table_offset=0,
        table_extents=0,
        table_crc32=0,
        rows=0,
        text_bytes=0,
        heap_bytes=0,
        end_of_file=0,
    )
    return slot, [], header


def next_slot(
    slot: Slot,
    extents: Sequence[Extent],
    *,
    version: int,
    table_offset: int,
    table_crc32: int,
    end_of_file: int,
) -> Slot:
    """The slot of the state that follows ``slot``, with these extents."""
    return replace(
        slot,
        version=version,
        generation=slot.generation + 1,
        table_offset=table_offset,
        table_extents=len(extents),
        table_crc32=table_crc32,
        rows=extents[-1].rows,
        text_bytes=extents[-1].text_bytes,
        heap_bytes=extents[-1].heap_bytes,
        end_of_file=end_of_file,
    )


def read_state(device: ReadableDevice, name: str, *, before: bool = False) -> State:
    """The state of an archive; ``name`` is what errors call it.

    A file that lost its end is accepted as long as the index is there: what is missing then costs
    only the tasks whose payloads were there.

    Args:
        before: the state before the last commit, for who salvages what is left. Nobody else may
            fall back to it: that commit was acknowledged.

    Raises:
        NotAnArchive, UnsupportedVersion, CorruptArchive: see :mod:`maskstore.errors`.
    """
    head = device.read(0, min(device.size(), HEADER_OFFSET))
    if not any(Slot.decode(head[at : at + SECTOR]) for at in SLOT_OFFSETS):
        # Two commits during one read can tear both slots; a second look settles it.
        head = device.read(0, min(device.size(), HEADER_OFFSET))
    slot = _slot_of(head, name, before=before)
    # After the slot: a commit in between only makes the file longer than the slot needs.
    size = device.size()
    if slot.header_bytes > MAX_HEADER_BYTES or not 0 < slot.table_extents <= _MAX_EXTENTS:
        raise CorruptArchive(f"{name}: the commit slot claims impossible sizes")
    if slot.generation >= _MAX_GENERATION:
        raise CorruptArchive(f"{name}: the commit slot claims {slot.generation} commits before it")
    header = _read_checked(
        device, HEADER_OFFSET, slot.header_bytes, slot.header_crc32, f"{name}: the header"
    )
    table = _read_checked(
        device,
        slot.table_offset,
        slot.table_extents * EXTENT_BYTES,
        slot.table_crc32,
        f"{name}: the extent table",
        _SALVAGE,
    )
    extents = [
        Extent.decode(table[at : at + EXTENT_BYTES]) for at in range(0, len(table), EXTENT_BYTES)
    ]
    extents[-1] = slot.last_extent(extents[-1])
    claimed = sum(each.index_capacity * ROW_BYTES + each.text_capacity for each in extents)
    views = range(group_address(0), slot.end_of_file)
    if (
        claimed > size
        or not all(each.is_inside(slot.end_of_file, size) for each in extents)
        or not all(each.group in views for each in extents[:-1])
    ):
        raise CorruptArchive(
            f"{name}: the index lies outside the file, which has {size} bytes "
            f"of {slot.end_of_file} committed{_SALVAGE}"
        )
    return slot, extents, header


def encode_header(header: dict[str, Any], name: str) -> bytes:
    """The header as stored; raises InvalidInput where it is not JSON or too large."""
    text = encode_json(f"{name}: archive header", header)
    if len(text) > MAX_HEADER_BYTES:
        raise InvalidInput(
            f"{name}: header of {len(text)} bytes, at most {MAX_HEADER_BYTES} are possible"
        )
    return text


def parse_header(header: bytes, name: str) -> dict[str, Any]:
    """The header's JSON object, each field that is known of its type; raises CorruptArchive."""
    try:
        parsed = json.loads(header, parse_constant=reject_constant)
    except (ValueError, RecursionError) as error:
        raise CorruptArchive(f"{name}: the header is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise CorruptArchive(f"{name}: the header is not a JSON object")
    for field, kind in _HEADER_FIELDS.items():
        value: Any = parsed.get(field)
        positive = kind is not int or (isinstance(value, int) and value > 0)
        if value is not None and not (type(value) is kind and positive):
            raise CorruptArchive(
                f"{name}: the header's {field}: expected {kind.__name__}, found {value!r:.40}"
            )
    return parsed


def damaged_slots(device: ReadableDevice, slot: Slot) -> int:
    """How many of the commit slots are damaged, where ``slot`` is the newest sound one.

    A crash damages none, as a sector is written whole. So the commit of such a slot was
    acknowledged, and it may be the last: what is read is then the state before it.
    """

    def unsound() -> list[bytes]:
        sectors = [device.read(offset, SECTOR) for offset in SLOT_OFFSETS]
        if slot.generation == 0:  # the other slot was never written
            sectors = [sector for sector in sectors if any(sector)]
        return [sector for sector in sectors if Slot.decode(sector) is None]

    # What a writer is about to write may be read torn; damage stays as it is.
    first = unsound()
    again = unsound() if first else []
    return sum(sector in again for sector in first)


def _slot_of(head: bytes, name: str, *, before: bool) -> Slot:
    if not head.startswith(hdf5.SIGNATURE):
        raise NotAnArchive(f"{name}: not an HDF5 file, so no mask archive")
    sectors = [head[at : at + SECTOR] for at in SLOT_OFFSETS]
    found = [slot_version(sector) for sector in sectors if len(sector) == SECTOR]
    versions = [version for version in found if version is not None]
    if not versions:
        raise NotAnArchive(f"{name}: an HDF5 file, but not a mask archive of supsup-store")
    slots = [slot for slot in map(Slot.decode, sectors) if slot is not None]
    # A sound slot of an unknown version beside one of ours may be the newer state.
    newer = [each for each, sound in versions if each not in VERSIONS and (sound or not slots)]
    if before and len(slots) < 2:
        raise CorruptArchive(f"{name}: the state before the last commit is not there")
    if slots and not newer:
        return (min if before else max)(slots, key=lambda each: each.generation)
    if newer:
        raise UnsupportedVersion(
            f"{name}: format version {newer[0]}, this release reads versions "
            f"{' and '.join(map(str, VERSIONS))}; "
            "use a newer supsup-store"
        )
    raise CorruptArchive(
        f"{name}: both commit slots fail their checksums, so its index cannot be found; "
        "go back to a copy"
    )


def _read_checked(
    device: ReadableDevice, offset: int, size: int, crc32: int, what: str, hint: str = ""
) -> bytes:
    if offset + size > device.size():
        raise CorruptArchive(f"{what} lies outside the file{hint}")
    data = device.read(offset, size)
    if zlib.crc32(data) != crc32:
        raise CorruptArchive(
            f"{what} fails its checksum (stored {crc32:08x}, computed {zlib.crc32(data):08x})"
            + hint
        )
    return data
