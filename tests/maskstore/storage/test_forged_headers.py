"""Headers and slots that a program wrote with good checksums and the wrong types."""

import json
import zlib
from dataclasses import replace

import pytest

from maskstore import CorruptArchive, MaskArchive
from maskstore.codecs import parse_codec
from maskstore.storage.format import HEADER_OFFSET, SECTOR, SLOT_OFFSETS, Slot
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors

ROOM = {"note": "x" * 500}


@pytest.fixture
def path(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT, backbone=ROOM, parameters=75) as archive:
        archive.add("t", random_masks(0), {"a": 1})
    return tmp_path / "a.h5"


def newest(data: bytearray) -> Slot:
    slots = [Slot.decode(bytes(data[at : at + SECTOR])) for at in SLOT_OFFSETS]
    return max((slot for slot in slots if slot), key=lambda slot: slot.generation)


def put_slot(data: bytearray, slot: Slot) -> None:
    at = SLOT_OFFSETS[slot.generation % 2]
    data[at : at + SECTOR] = slot.encode()


def forge_header(path, field, text):
    """The header with other JSON for a field, its checksum made good."""
    data = bytearray(path.read_bytes())
    slot = newest(data)
    header = json.loads(data[HEADER_OFFSET : HEADER_OFFSET + slot.header_bytes])
    # The recipe gives the room that the forgery takes.
    header |= {"backbone": {}, field: "HERE"}
    forged = json.dumps(header).replace('"HERE"', text).encode()
    assert len(forged) <= slot.header_bytes
    forged = forged.ljust(slot.header_bytes)
    data[HEADER_OFFSET : HEADER_OFFSET + len(forged)] = forged
    put_slot(data, replace(slot, header_crc32=zlib.crc32(forged)))
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(("parameters", text) for text in ('"x"', "-1", "0", "1.5", "true", "[]", "{}", "NaN")),
        *(("metadata_example", text) for text in ('"x"', "[]", "1", '{"a": NaN}', "Infinity")),
        *(("backbone", text) for text in ('"x"', "[]", "1", '{"seed": -Infinity}')),
        *(("weights_digest", text) for text in ("1", "{}", "true", "[1]")),
        *(("layout", text) for text in ('"x"', "{}", "1", "true")),
    ],
)
def test_fields_of_the_wrong_type(path, field, text):
    forge_header(path, field, text)
    for mode in ("r", "a"):
        with pytest.raises(CorruptArchive, match=r"header") as caught:
            MaskArchive.open(path, mode)
        assert "\n" not in str(caught.value)


def test_the_forgery_itself_is_sound(path):
    forge_header(path, "parameters", "80")
    with MaskArchive.open(path, "a") as archive:
        assert (archive.parameters, archive.backbone) == (80, {})
        archive.add("u", random_masks(1))


@pytest.mark.parametrize("generation", [2**64 - 1, 2**63])
def test_the_last_generation_of_all(path, generation):
    data = bytearray(path.read_bytes())
    put_slot(data, replace(newest(data), generation=generation))
    path.write_bytes(data)
    for mode in ("r", "a"):
        with pytest.raises(CorruptArchive, match=f"claims {generation} commits before it"):
            MaskArchive.open(path, mode)


@pytest.mark.parametrize("tensors", [{}, random_tensors(1)], ids=["kind 1", "kind 4"])
def test_a_name_added_twice_is_damage_and_the_first_stays(path, tensors):
    """No writer does it: the row is sound, and the second mask is nobody's."""
    with MaskArchive.open(path, "a") as archive:
        items = [(name, random_masks(5), {}, tensors) for name in ("t", "u", "u")]
        records = [archive._records(item, parse_codec("raw")) for item in items]
        archive.store.append([each for several in records for each in several])
        archive.store.commit()
    with MaskArchive.open(path) as archive:
        assert archive.names() == ["t", "u"]
        assert [each.task for each in archive.damage] == ["t", "u"]
        assert archive.task("u").index == 1
        assert equal(archive.get("t"), random_masks(0))
        assert archive.task("t").metadata == {"a": 1}
    with pytest.raises(CorruptArchive, match="does not fit the rows before it"):
        MaskArchive.open(path, "a")
