"""Small files that claim much: what they take stays in proportion to their length."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.storage.format import ROW, ROW_BYTES, ROW_CHECKED_BYTES
from tests.maskstore.helpers import LAYOUT, random_masks
from tests.maskstore.storage.test_forged_headers import ROOM, forge_header

TASKS = 400


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT, backbone=ROOM) as archive:
        first = {"long": "x" * 20_000}
        archive.add_many((f"t/{n}", random_masks(n), {} if n else first) for n in range(TASKS))
    return path


def forge_rows(path, *, sound: bool) -> None:
    """Let every row but the first name nearly all of its extent's text, with good checksums or bad
    ones."""
    data = bytearray(path.read_bytes())
    with MaskArchive.open(path) as archive:
        extents = archive.store.extents
    for extent in extents:
        text = bytes(data[extent.text_offset : extent.text_offset + extent.text_bytes])
        for at in range(1, extent.rows):
            start = extent.index_offset + at * ROW_BYTES
            row = np.frombuffer(data[start : start + ROW_BYTES], ROW).copy()
            row["text_offset"], row["name_bytes"] = at, 9
            row["metadata_bytes"] = len(text) - at - 9
            crc32 = zlib.crc32(text[at:], zlib.crc32(row.tobytes()[:ROW_CHECKED_BYTES]))
            row["crc32"] = crc32 if sound else crc32 ^ 1
            data[start : start + ROW_BYTES] = row.tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize("sound", [True, False])
def test_rows_that_share_text_are_damaged_and_kept_by_nobody(path, sound):
    forge_rows(path, sound=sound)
    with MaskArchive.open(path) as archive:
        held = sum(len(row.entry.metadata) for row in archive._now.index.rows())
        assert held <= sum(extent.text_bytes for extent in archive.store.extents)
        assert len(archive) + len(archive.damage) == TASKS
        assert len(archive.damage) == TASKS - 1  # the first row's text is its own
        assert archive.names()[0] == "t/0"


def test_text_is_not_checked_again_and_again_in_vain(path, monkeypatch):
    forge_rows(path, sound=False)
    checked = []
    crc32 = zlib.crc32
    monkeypatch.setattr("maskstore.storage.index._CHECKED_AT_LEAST", 0)
    monkeypatch.setattr(
        "maskstore.storage.index.zlib.crc32",
        lambda data, value=0: checked.append(len(data)) or crc32(data, value),
    )
    with MaskArchive.open(path) as archive:
        largest = max(extent.text_bytes for extent in archive.store.extents)
        assert sum(checked) < 20 * sum(extent.text_bytes for extent in archive.store.extents)
        assert largest * TASKS > 10 * sum(checked)  # what it would take otherwise


def test_one_damaged_row_costs_no_other(path):
    data = bytearray(path.read_bytes())
    with MaskArchive.open(path) as archive:
        extent = archive.store.extents[-1]
    where = extent.index_offset + ROW.fields["metadata_bytes"][1]
    data[where : where + 4] = (extent.text_bytes - 40).to_bytes(4, "little")
    path.write_bytes(data)
    with MaskArchive.open(path) as archive:
        assert len(archive) == TASKS - 1
        assert len(archive.damage) == 1


COMPACT = """
import resource, sys
from maskstore import MaskArchive, compact
from maskstore.errors import SupsupError
with MaskArchive.open(sys.argv[1], "a") as archive:
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, resource.RLIM_INFINITY))
    for task in (lambda: compact(archive, codec="history"), archive.packed):
        try:
            task()
        except SupsupError as error:
            print(type(error).__name__)
"""


def test_a_layout_of_four_billion_weights_ends_in_a_line(path):
    forge_header(path, "layout", '[{"name": "w", "shape": [65535, 65537]}]')
    done = subprocess.run(
        [sys.executable, "-c", COMPACT, path], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.split()
    assert first == "CorruptArchive"
    assert second in (
        "CorruptArchive",
        "InvalidInput",
    )  # as the system gives memory before it is used
