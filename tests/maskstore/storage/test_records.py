"""Where rows go: into the room that an extent has left, and into a new one."""

from dataclasses import replace

import pytest

from maskstore.storage.format import Extent
from maskstore.storage.records import MIN_ROWS, Record, count_fitting, room_for

EXTENT = Extent(
    index_offset=0,
    text_offset=1000,
    heap_offset=2000,
    index_capacity=5,
    text_capacity=30,
    rows=3,
    text_bytes=10,
)
RECORDS = [Record(kind=1, name=b"name", metadata=b"{1}", payload=bytes(99))] * 4


@pytest.mark.parametrize(
    ("change", "fitting"),
    [
        ({}, 2),  # rows are what there is least of
        ({"rows": 5}, 0),
        ({"rows": 0}, 2),  # 20 bytes of text are left, each takes 7
        ({"rows": 0, "text_capacity": 31}, 3),  # to the last byte
        ({"rows": 0, "text_capacity": 100}, 4),
        ({"text_bytes": 30}, 0),
    ],
)
def test_records_fit_by_rows_and_by_text(change, fitting):
    assert count_fitting(RECORDS, replace(EXTENT, **change)) == fitting


def test_a_new_extent_has_room_for_what_comes_and_in_proportion_to_what_is_there():
    assert room_for(RECORDS, []) == (MIN_ROWS, 28)
    rows, text = room_for(RECORDS * 10, [])
    assert (rows, text) == (40, 280)
    many = [replace(EXTENT, rows=800, text_bytes=8000)] * 2
    assert room_for(RECORDS, many) == (200, 200 * 11)
