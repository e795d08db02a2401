"""Syncs that fail: then the system shows what was written, and the disk may hold other bytes."""

import itertools

import pytest

from maskstore import ArchiveError, MaskArchive
from maskstore.layout import MaskLayout
from maskstore.storage.format import HEADER_OFFSET
from maskstore.storage.store import Store
from maskstore.testing import CachedDevice, MemoryDevice, Write
from tests.maskstore.helpers import equal, random_masks

PATH = "memory"
BEFORE = [f"t/{at}" for at in range(6)]


def archive_of(content: bytes) -> MaskArchive:
    return MaskArchive(Store(MemoryDevice(content), PATH), PATH)


@pytest.fixture(scope="module")
def base() -> bytes:
    device = MemoryDevice()
    layout = MaskLayout({name: layer.shape for name, layer in random_masks(0).items()})
    store = Store.create(device, {"layout": layout.to_json()}, PATH)
    archive = MaskArchive(store, PATH)
    archive.add_many((each, random_masks(at), {}) for at, each in enumerate(BEFORE))
    return bytes(device.content)


REACHED = {
    "none": lambda each: False,
    "slots": lambda each: isinstance(each, Write) and each.offset < HEADER_OFFSET,
    "all": lambda each: True,
}


@pytest.mark.parametrize("first", range(1, 4))
@pytest.mark.parametrize(("of_first", "of_second"), list(itertools.product(REACHED, REACHED)))
def test_two_syncs_fail_and_the_power_goes_later(base, first, of_first, of_second):
    """The commit's sync, then the one that takes it back: whatever of each reached the disk."""
    device = CachedDevice(base, base, {first: REACHED[of_first], first + 1: REACHED[of_second]})
    archive = MaskArchive(Store(device, PATH), PATH)
    acknowledged = list(BEFORE)
    lost = [f"lost/{at}" for at in range(30)]  # more than there is room for: a new table of extents
    try:
        archive.add_many(((each, random_masks(9), {}) for each in lost), codec="raw")
        acknowledged += lost
    except ArchiveError:
        pass
    # The process ends; the system goes on, and another process opens what it shows.
    again = CachedDevice(bytes(device.content), bytes(device.disk))
    store = Store(again, PATH)
    store.recover()
    writer = MaskArchive(store, PATH)
    assert set(acknowledged) <= set(writer.names())
    acknowledged = writer.names()
    for at in range(3):
        for left in again.power_losses():
            found = archive_of(left)
            assert not found.damage
            assert found.names()[: len(acknowledged)] == acknowledged
            assert equal(found.get("t/3"), random_masks(3))
        writer.add(f"next/{at}", random_masks(50 + at))
        acknowledged.append(f"next/{at}")
        assert archive_of(bytes(again.disk)).names() == acknowledged
