"""The HDF5 view of an archive: what any HDF5 tool sees.

/header               the archive's JSON header, as bytes
/commits              the two commit slots
/00000, /00001, …     one group per extent, with the datasets
    index             its rows, as a compound table
    text              names and metadata that the rows point into
    heap              payloads that the rows point into

Everything is made from addresses and counts alone, so a reader can check the view, and a writer
replace it, without parsing HDF5.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from maskstore.storage import hdf5
from maskstore.storage.format import (
    EXTENT_BYTES,
    HEADER_OFFSET,
    ROW_BYTES,
    SECTOR,
    SLOT_OFFSETS,
    Extent,
    row_datatype,
)

_BYTE = hdf5.uint(1)
_ROW = row_datatype()
_INDEX_BYTES = len(hdf5.dataset(_ROW, ROW_BYTES, 0, 0))
_DATASET_BYTES = len(hdf5.dataset(_BYTE, 1, 0, 0))
_DATASETS_BYTES = _INDEX_BYTES + 2 * _DATASET_BYTES
_GROUP_BYTES = len(hdf5.group([("index", 0), ("text", 0), ("heap", 0)]))
EXTENT_VIEW_BYTES = _DATASETS_BYTES + _GROUP_BYTES


def align(offset: int) -> int:
    """The next multiple of 8."""
    return (offset + 7) // 8 * 8


def static_view(header_bytes: int) -> tuple[int, bytes]:
    """(address, object headers) of ``/header`` and ``/commits``."""
    slots = hdf5.dataset(_BYTE, 1, 2 * SECTOR, SLOT_OFFSETS[0])
    header = hdf5.dataset(_BYTE, 1, header_bytes, HEADER_OFFSET)
    return align(HEADER_OFFSET + header_bytes), header + slots


def extent_view(address: int, extent: Extent) -> bytes:
    """Object headers of an extent's three datasets and, last, their group."""
    text = address + _INDEX_BYTES
    heap = text + _DATASET_BYTES
    return (
        hdf5.dataset(_ROW, ROW_BYTES, extent.rows, extent.index_offset)
        + hdf5.dataset(_BYTE, 1, extent.text_bytes, extent.text_offset)
        + hdf5.dataset(_BYTE, 1, extent.heap_bytes, extent.heap_offset)
        + hdf5.group([("index", address), ("text", text), ("heap", heap)])
    )


def group_address(address: int) -> int:
    """Address of the group in the :func:`extent_view` written at ``address``."""
    return address + _DATASETS_BYTES


def root_view(static_address: int, groups: Sequence[int], version: int) -> bytes:
    """Object header of the root group, given the address of every extent's group."""
    links = [("header", static_address), ("commits", static_address + _DATASET_BYTES)]
    links += [(f"{number:05d}", address) for number, address in enumerate(groups)]
    return hdf5.group(links, [("format", "supsup-store"), ("version", str(version))])


class LastExtentView:
    """Where the last extent's table and view lie: both copies, the older never in use.

    The region starts with the extent table; the frozen view of the extent before follows (if any);
    then twice a view of the last extent and a root group; then the extent's rows.
    """

    def __init__(self, table_offset: int, extents: int) -> None:
        self.frozen_address = align(table_offset + extents * EXTENT_BYTES)
        first = self.frozen_address + (EXTENT_VIEW_BYTES if extents > 1 else 0)
        copy_bytes = EXTENT_VIEW_BYTES + len(root_view(0, [0] * extents, version=0))
        self.copies = (first, first + copy_bytes)
        self.end = align(first + 2 * copy_bytes)

    def root_address(self, copy: int) -> int:
        """Address of that copy's root group."""
        return self.copies[copy] + EXTENT_VIEW_BYTES

    def encode_copy(
        self, copy: int, static_address: int, extents: Sequence[Extent], version: int
    ) -> bytes:
        """The view of the last of ``extents`` and the root group, to be put at the copy."""
        address = self.copies[copy]
        groups = [extent.group for extent in extents[:-1]] + [group_address(address)]
        return extent_view(address, extents[-1]) + root_view(static_address, groups, version)

    def superblock(self, copy: int, end_of_file: int) -> bytes:
        """The superblock that makes HDF5 tools see that copy."""
        return hdf5.superblock(self.root_address(copy), end_of_file)


class NewExtent(NamedTuple):
    """What has to be written to begin an extent.

    Attributes:
        extents: all of them, the one that was last now frozen, the new one behind it.
        table_offset: where the new extent table lies.
        region: bytes from the end of the file on; the new extent's heap begins behind them.
    """

    extents: list[Extent]
    table_offset: int
    region: bytes


def new_extent(
    end: int,
    extents: Sequence[Extent],
    header_bytes: int,
    *,
    version: int,
    rows: int,
    text_bytes: int,
) -> NewExtent:
    """Freeze the last of ``extents`` and begin one at the end of the file.

    Args:
        end: length of the file so far.
        header_bytes: length of the archive's header, behind which the fixed objects lie.
        version: of the format, an attribute of the root group.
        rows, text_bytes: room in the new extent.
    """
    grown = list(extents)
    table_offset = align(end)
    view = LastExtentView(table_offset, len(grown) + 1)
    frozen = b""
    if grown:
        frozen = extent_view(view.frozen_address, grown[-1])
        grown[-1] = replace(grown[-1], group=group_address(view.frozen_address))
    text_offset = view.end + rows * ROW_BYTES
    heap_offset = align(text_offset + text_bytes)
    grown.append(
        Extent(
            index_offset=view.end,
            text_offset=text_offset,
            heap_offset=heap_offset,
            index_capacity=rows,
            text_capacity=text_bytes,
        )
    )
    table = b"".join(extent.encode() for extent in grown)
    region = table.ljust(view.frozen_address - table_offset, b"\0") + frozen
    static_address, _ = static_view(header_bytes)
    for copy in (0, 1):
        region += view.encode_copy(copy, static_address, grown, version)
    padding = bytes(table_offset - end)
    return NewExtent(grown, table_offset, padding + region.ljust(heap_offset - table_offset, b"\0"))
