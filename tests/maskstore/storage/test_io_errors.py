"""The system refuses any one call of a change: the archive then says what the file holds."""

import os

import pytest

from maskstore import ArchiveError, MaskArchive
from maskstore.errors import CorruptArchive
from maskstore.layout import MaskLayout
from maskstore.storage.raw_file import FileDevice
from maskstore.storage.store import Store
from maskstore.testing import ErringDevice, MemoryDevice
from tests.maskstore.helpers import equal, random_masks, random_tensors

PATH = "memory"
BEFORE = ["t/0", "t/1", "t/2"]


def with_tensors(archive: MaskArchive) -> None:
    archive.add("a", random_masks(5), tensors=random_tensors(5), codec="raw")


def many(archive: MaskArchive) -> None:
    archive.add_many(((f"m/{at}", random_masks(5), {}) for at in range(30)), codec="raw")


CHANGES = {
    "add": (lambda archive: archive.add("a", random_masks(5), codec="raw"), [*BEFORE, "a"]),
    "add with tensors": (with_tensors, [*BEFORE, "a"]),
    "add many": (many, [*BEFORE, *(f"m/{at}" for at in range(30))]),
    "remove": (lambda archive: archive.remove("t/1"), ["t/0", "t/2"]),
    "rename": (lambda archive: archive.rename("t/1", "u"), ["t/0", "u", "t/2"]),
    "update": (lambda archive: archive.update("t/1", {"x": 1}), BEFORE),
}


@pytest.fixture(scope="module")
def base() -> bytes:
    device = MemoryDevice()
    layout = MaskLayout({name: layer.shape for name, layer in random_masks(0).items()})
    archive = MaskArchive(Store.create(device, {"layout": layout.to_json()}, PATH), PATH)
    archive.add_many((each, random_masks(at), {}) for at, each in enumerate(BEFORE))
    return bytes(device.content)


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_the_archive_is_what_a_fresh_one_is(base, name, for_good):
    change, after = CHANGES[name]
    failed = 0
    for at in range(1, 500):
        device = ErringDevice(base, 10**9, for_good=for_good)
        archive = MaskArchive(Store(device, PATH), PATH)
        device.left = at
        try:
            change(archive)
            raised = False
        except ArchiveError:
            raised = True
        over = device.left > 0
        device.left = 10**9  # the disk answers again
        listed = archive.names()
        assert listed == (BEFORE if raised else after), at
        fresh = MaskArchive(Store(MemoryDevice(bytes(device.content)), PATH), PATH)
        # Of a disk that failed for good it cannot be known what it holds; nothing more is written.
        if not for_good:
            assert fresh.names() == listed, at
            archive.add("next", random_masks(9), codec="raw")
            assert archive.names() == [*listed, "next"]
        else:
            assert set(fresh.names()) >= set(BEFORE) & set(after)
        assert equal(fresh.get("t/0"), random_masks(0))
        failed += raised
        if over:
            break
    assert failed > 3


def test_a_read_that_comes_in_pieces(tmp_path, monkeypatch):
    """The system may give less than was asked for, and gives at most 2 GiB at once."""
    path, real = tmp_path / "a", os.pread
    path.write_bytes(bytes(range(200)))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, min(size, 7), at))
    device = FileDevice(path, mode="r")
    assert device.read(10, 100) == bytes(range(10, 110))
    with pytest.raises(CorruptArchive, match="expected 100 bytes at 150, the file ends after 50"):
        device.read(150, 100)
    device.close()
