"""The harness itself: what it finds in stores and writers that are wrong in a known way."""

import os

import pytest

from maskstore import MaskArchive, compact, verify
from maskstore.storage.atomic import write_file
from maskstore.testing import (
    CachedDevice,
    ErringDevice,
    MemoryDevice,
    Read,
    RecordedFolder,
    instructions,
    interrupted,
    power_losses,
)
from tests.maskstore.helpers import LAYOUT, equal, random_masks


def test_a_device_records_what_is_asked():
    device = MemoryDevice(b"0123456789")
    assert device.read(3, 4) == b"3456"
    assert device.reads == [Read(3, 4)]
    assert device.trace == []


def test_what_was_synced_is_in_every_state():
    device = MemoryDevice()
    device.write(0, b"a" * 600)
    device.sync()
    device.write(600, b"b" * 600)
    losses = power_losses(device.trace, samples=20)
    states = {(done, content[:600], len(content)) for done, _, content in losses}
    assert {(2, b"a" * 600, 600), (3, b"a" * 600, 600), (3, b"a" * 600, 1200)} <= states
    assert all(content == b"a" * 600 for done, content, _ in states if done >= 2)
    assert len({content for done, content, _ in states if done == 1}) > 2  # torn, lost, whole


def test_a_failed_sync_forgets_pages():
    device = CachedDevice(b"old", b"old", {1: lambda operation: False})
    device.write(0, b"new")
    with pytest.raises(Exception, match="did not answer"):
        device.sync()
    device.sync()  # returns, and nothing is written
    assert (bytes(device.content), bytes(device.disk)) == (b"new", b"old")


def test_reads_are_refused_only_where_asked():
    writes = ErringDevice(b"abc", 1, reads=False)
    assert writes.read(0, 3) == b"abc"
    with pytest.raises(Exception, match="did not answer"):
        writes.write(0, b"x")
    with pytest.raises(Exception, match="did not answer"):
        ErringDevice(b"abc", 1).size()


def put(folder, *, sync=True, sync_folder=True):
    """A new ``a``, with or without what makes it durable."""
    draft = os.open(folder / "draft", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(draft, b"new bytes")
    if sync:
        os.fsync(draft)
    os.close(draft)
    os.rename(folder / "draft", folder / "a")
    if sync_folder:
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def recorded(folder, work):
    (folder / "a").write_bytes(b"old")
    with RecordedFolder(folder) as record:
        work(folder)
    return (
        {state.get("a") for state in record.power_losses()},
        {state.get("a") for state in record.power_losses(after_all=True)},
    )


def test_a_file_put_in_place_is_old_or_new_and_then_new(tmp_path):
    new = b"new bytes"
    assert recorded(tmp_path, put) == ({b"old", new}, {new})
    assert recorded(tmp_path, lambda folder: write_file(folder / "a", new)) == (
        {b"old", new},
        {new},
    )


def test_a_name_that_is_not_synced_may_be_lost(tmp_path):
    during, after = recorded(tmp_path, lambda folder: put(folder, sync_folder=False))
    assert during == after == {b"old", b"new bytes"}


def test_bytes_that_are_not_synced_may_be_lost_behind_the_new_name(tmp_path):
    _, after = recorded(tmp_path, lambda folder: put(folder, sync=False))
    assert after == {b"", b"new ", b"new bytes"}


def test_os_is_as_before(tmp_path):
    before = os.fsync, os.rename, os.open
    with pytest.raises(RuntimeError), RecordedFolder(tmp_path):
        raise RuntimeError
    assert before == (os.fsync, os.rename, os.open)


@pytest.mark.parametrize("change", ["compact", "create"])
def test_an_archive_whose_file_is_replaced_or_new_is_whole_in_every_state(tmp_path, change):
    path, look = tmp_path / "a.h5", tmp_path / "look"
    look.mkdir()
    if change == "compact":
        with MaskArchive.create(path, LAYOUT) as archive:
            archive.add_many((f"t/{at}", random_masks(at), {}) for at in range(4))
            archive.remove("t/0")
    with RecordedFolder(tmp_path) as record:
        if change == "compact":
            with MaskArchive.open(path, "a") as archive:
                compact(archive)
        else:
            MaskArchive.create(path, LAYOUT).close()
    states = list(record.power_losses())
    assert {"rename", "fsync"} <= set(record.calls) or {"link", "fsync"} <= set(record.calls)
    assert len({state.get("a.h5") for state in states}) >= 2
    for state in states:
        if "a.h5" not in state:
            assert change == "create"
            continue
        (look / "a.h5").write_bytes(state["a.h5"])
        with MaskArchive.open(look / "a.h5") as archive:
            assert archive.names() == (["t/1", "t/2", "t/3"] if change == "compact" else [])
            assert verify(archive) == []
            assert all(
                equal(archive.get(f"t/{at}"), random_masks(at)) for at in range(1, len(archive))
            )
    assert {state["a.h5"] for state in record.power_losses(after_all=True)} == {path.read_bytes()}


def test_work_is_interrupted_at_each_of_its_instructions():
    here = (os.path.basename(__file__),)
    done = []

    def work():
        done.append(1)
        done.append(2)

    places = instructions(work, inside=here)
    assert places > 6
    done.clear()
    left = []
    for at in range(1, places + 1):
        assert isinstance(interrupted(work, at, inside=here), KeyboardInterrupt)
        left.append(list(done))
        done.clear()
    assert left[0] == []
    assert [1] in left
    assert left[-1] == [1, 2]
    assert interrupted(work, places + 1, inside=here) is None
