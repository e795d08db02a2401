"""Syncs that fail: then the system shows what was written, and the disk may hold other bytes."""

import itertools

import pytest

from maskstore import ArchiveError, MaskArchive
from maskstore.errors import ArchiveWriteError
from maskstore.layout import MaskLayout
from maskstore.storage.format import HEADER_OFFSET
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice, Operation, Sync, Write, apply
from tests.maskstore.helpers import equal, random_masks

PATH = "memory"
BEFORE = [f"t/{at}" for at in range(6)]


class CachedDevice(MemoryDevice):
    """A file whose pages are kept by the system; ``disk`` is what a power loss leaves.

    A sync that fails forgets that pages were never written, as Linux does: later ones write only
    what was changed since.
    """

    def __init__(self, cached: bytes, disk: bytes, failures: dict[int, str] | None = None) -> None:
        """Begin.

        Args:
            failures: number of a sync → what of the pages is on the disk though it failed.
        """
        super().__init__(cached)
        self.disk = bytearray(disk)
        self.failures = failures or {}
        self.syncs = 0
        self._dirty: list[Operation] = []

    def _do(self, operation: Operation) -> None:
        if not isinstance(operation, Sync):
            super()._do(operation)
            self._dirty.append(operation)
            return
        self.syncs += 1
        reached = self.failures.get(self.syncs, "all")
        for each in self._dirty:
            slots = isinstance(each, Write) and each.offset < HEADER_OFFSET
            if reached == "all" or (reached == "slots" and slots):
                apply(self.disk, each)
        self._dirty.clear()
        if self.syncs in self.failures:
            raise ArchiveWriteError("the disk did not answer")

    def power_losses(self):
        """What a loss of power may leave now: nothing or all of what is dirty, or some of it."""
        for kept in (0, len(self._dirty)):
            yield self._after(self._dirty[:kept])
        for each in self._dirty:
            yield self._after([each])

    def _after(self, operations) -> bytes:
        content = bytearray(self.disk)
        for each in operations:
            apply(content, each)
        return bytes(content)


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


REACHED = ("none", "slots", "all")


@pytest.mark.parametrize("first", range(1, 4))
@pytest.mark.parametrize(("of_first", "of_second"), list(itertools.product(REACHED, REACHED)))
def test_two_syncs_fail_and_the_power_goes_later(base, first, of_first, of_second):
    """The commit's sync, then the one that takes it back: whatever of each reached the disk."""
    device = CachedDevice(base, base, {first: of_first, first + 1: of_second})
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
