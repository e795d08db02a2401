"""A new extent: where its parts go, and the bytes that begin it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from maskstore.format import ROW_BYTES, Extent
from maskstore.view import LastExtentView, align, extent_view, group_address, static_view


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
    end: int, extents: Sequence[Extent], header_bytes: int, *, rows: int, text_bytes: int
) -> NewExtent:
    """Freeze the last of ``extents`` and begin one at the end of the file.

    Args:
        end: length of the file so far.
        header_bytes: length of the archive's header, behind which the fixed objects lie.
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
        region += view.encode_copy(copy, static_address, grown)
    padding = bytes(table_offset - end)
    return NewExtent(grown, table_offset, padding + region.ljust(heap_offset - table_offset, b"\0"))
