import pytest

from maskstore import CorruptArchive, MaskArchive
from maskstore._verify import verify
from tests.maskstore.helpers import LAYOUT, equal, random_masks


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT) as archive:
        for seed in range(40):
            archive.add(f"task/{seed}", random_masks(seed))
    return path


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("deep", [False, True])
def test_an_intact_archive_has_no_damage(filled, deep):
    with MaskArchive.open(filled) as archive:
        assert verify(archive, deep=deep) == []


@pytest.mark.parametrize("deep", [False, True])
def test_a_damaged_payload_costs_one_task(filled, deep):
    with MaskArchive.open(filled) as archive:
        offset = archive.entry("task/7").offset
    flip(filled, offset + 1)
    with MaskArchive.open(filled) as archive:
        damage = verify(archive, deep=deep)
        assert [each.task for each in damage] == ["task/7"]
        with pytest.raises(CorruptArchive, match="'task/7' is damaged"):
            archive.get("task/7")
        assert equal(archive.get("task/8"), random_masks(8))


def test_a_damaged_row_is_counted_and_the_rest_stays_readable(filled):
    with MaskArchive.open(filled) as archive:
        extent = archive.store.extents[1]
    flip(filled, extent.index_offset + 68 * 2 + 40)
    with MaskArchive.open(filled) as archive:
        assert len(archive) == 39
        assert ["index row 2 of extent 1" in each.cause for each in verify(archive)] == [True]
        assert equal(archive.get("task/8"), random_masks(8))
    with pytest.raises(CorruptArchive, match="nothing is written to a damaged archive"):
        MaskArchive.open(filled, "a")


def test_every_flipped_byte_is_noticed_or_harmless(filled):
    """A byte flipped anywhere: verify names it, or it lies in slack and every mask is right."""
    data = filled.read_bytes()
    noticed = 0
    for offset in range(0, len(data), 37):
        filled.write_bytes(data[:offset] + bytes([data[offset] ^ 0x81]) + data[offset + 1 :])
        try:
            archive = MaskArchive.open(filled)
        except Exception as error:
            assert type(error).__module__ == "maskstore.errors", repr(error)
            noticed += 1
            continue
        with archive:
            damage = verify(archive)
            noticed += bool(damage)
            lost = {each.task for each in damage}
            for seed in range(40):
                name = f"task/{seed}"
                if name in lost or name not in archive:
                    assert damage
                else:
                    assert equal(archive.get(name), random_masks(seed))
    assert noticed > 20


def test_a_file_that_lost_its_end_keeps_what_is_left(filled):
    data = filled.read_bytes()
    filled.write_bytes(data[:-15])
    with MaskArchive.open(filled) as archive:
        causes = {each.task: each.cause for each in verify(archive)}
        assert "the last 15 bytes are missing" in causes[None]
        assert set(causes) == {None, "task/38", "task/39"}
        assert equal(archive.get("task/37"), random_masks(37))
    with pytest.raises(CorruptArchive, match="nothing is written to a damaged archive"):
        MaskArchive.open(filled, "a")
    assert filled.read_bytes() == data[:-15]
