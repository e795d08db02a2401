"""A newest state that cannot be read: nobody takes the one before for it, but repair salvages that.

The commit was acknowledged. Who reads is told, who would write is refused, the file stays as it is.
"""

import pytest

from maskstore import MaskArchive, repair, verify
from maskstore.errors import CorruptArchive
from maskstore.storage.format import SECTOR, SLOT_OFFSETS, Slot
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors

BEFORE = [f"t/{at}" for at in range(30)]
LAST = [f"last/{at}" for at in range(80)]
"""More than there is room for, so that the last commit has an extent table of its own."""


@pytest.fixture(params=[1, 2])
def path(tmp_path, request):
    """An archive, in which the last commit added ``LAST``."""
    tensors = random_tensors(1) if request.param == 2 else {}
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        archive.add_many(
            (name, random_masks(at), {"at": at}, tensors) for at, name in enumerate(BEFORE)
        )
        archive.add_many((name, random_masks(at), {}, tensors) for at, name in enumerate(LAST))
        assert len(archive.store.extents) > 1
    return tmp_path / "a.h5"


def slots(content: bytes) -> list[Slot]:
    """The commit slots, the newest first."""
    found = [Slot.decode(bytes(content[at : at + SECTOR])) for at in SLOT_OFFSETS]
    return sorted(found, key=lambda slot: -slot.generation)


def check_salvage(path, new, *, says: str) -> None:
    """Repair gives the state before, and says what is lost."""
    before = path.read_bytes()
    with MaskArchive.open_to_salvage(path) as left:
        assert says in left.damage[0].cause
        lost = repair(left, new)
    assert [each.task for each in lost] == [None]
    with MaskArchive.open(new, "a") as repaired:
        assert repaired.names() == BEFORE
        assert verify(repaired, deep=True) == []
        assert equal(repaired.get("t/3"), random_masks(3))
        repaired.add("next", random_masks(1))
    assert path.read_bytes() == before


@pytest.mark.parametrize("byte", [0, 8, 16, 30, 200, 511])
def test_a_damaged_newest_slot_is_told(path, tmp_path, byte):
    content = bytearray(path.read_bytes())
    content[SLOT_OFFSETS[slots(content)[0].generation % 2] + byte] ^= 1
    path.write_bytes(content)
    with MaskArchive.open(path) as reader:
        assert reader.names() == BEFORE
        assert [each.task for each in reader.damage] == [None]
        assert "last transaction may be lost" in reader.damage[0].cause
        assert verify(reader) == reader.damage
    with pytest.raises(CorruptArchive, match=r"slot fails its checksum.*nothing is written"):
        MaskArchive.open(path, "a")
    assert path.read_bytes() == content
    check_salvage(path, tmp_path / "new.h5", says="last transaction may be lost")


def test_a_damaged_older_slot_is_told_as_well(path):
    """Which of two is newer cannot be known of one that is damaged."""
    content = bytearray(path.read_bytes())
    content[SLOT_OFFSETS[slots(content)[1].generation % 2] + 40] ^= 1
    path.write_bytes(content)
    with MaskArchive.open(path) as reader:
        assert reader.names() == [*BEFORE, *LAST]
        assert len(reader.damage) == 1
    with pytest.raises(CorruptArchive, match="nothing is written"):
        MaskArchive.open(path, "a")


def test_an_unreadable_newest_index_is_an_error_and_the_state_before_is_salvaged(path, tmp_path):
    content = bytearray(path.read_bytes())
    content[slots(content)[0].table_offset + 60] ^= 1
    path.write_bytes(content)
    for mode in ("r", "a"):
        with pytest.raises(CorruptArchive, match=r"extent table fails.*supsup-store repair"):
            MaskArchive.open(path, mode)
    check_salvage(path, tmp_path / "new.h5", says="the last commit is lost")


def test_a_file_cut_before_its_newest_index(path, tmp_path):
    content = path.read_bytes()
    path.write_bytes(content[: slots(content)[0].table_offset])
    with pytest.raises(CorruptArchive, match=r"outside the file.*supsup-store repair"):
        MaskArchive.open(path)
    check_salvage(path, tmp_path / "new.h5", says="the last commit is lost")


def test_nothing_is_salvaged_where_no_state_is_left(path):
    content = bytearray(path.read_bytes())
    content[slots(content)[0].table_offset + 60] ^= 1
    content[SLOT_OFFSETS[slots(content)[1].generation % 2] + 40] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArchive, match="extent table fails"):
        MaskArchive.open_to_salvage(path)


def test_a_sound_archive_is_salvaged_whole(path):
    with MaskArchive.open_to_salvage(path) as archive:
        assert archive.names() == [*BEFORE, *LAST]
        assert archive.damage == []


def test_a_new_archive_has_one_slot(tmp_path):
    MaskArchive.create(tmp_path / "new.h5", LAYOUT).close()
    with MaskArchive.open(tmp_path / "new.h5", "a") as archive:
        assert archive.damage == []


class TornOnce(MemoryDevice):
    """The first look at a slot finds half of what a writer is about to write."""

    looks = 0

    def read(self, offset: int, size: int) -> bytes:
        data = super().read(offset, size)
        if offset in SLOT_OFFSETS and size == SECTOR:
            self.looks += 1
            if self.looks == 1:
                return data[:100] + b"\1" * (SECTOR - 100)
        return data


def test_a_slot_that_is_just_written_is_no_damage(path):
    device = TornOnce(path.read_bytes())
    archive = MaskArchive(Store(device, "memory"), path)
    assert archive.damage == []
    assert device.looks == 4
