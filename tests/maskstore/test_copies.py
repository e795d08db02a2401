"""An archive that is copied, pickled or forked: no descriptor has two owners."""

import copy
import os
import pickle
import subprocess
import sys

import pytest

from maskstore import ArchiveClosed, ArchiveNotFound, MaskArchive
from maskstore.errors import ArchiveWriteError
from maskstore.storage.raw_file import FileDevice
from maskstore.storage.remote_file import RemoteDevice
from tests.maskstore.helpers import LAYOUT, equal, random_masks

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add("t/0", random_masks(0))
    return path


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_copy_is_an_opening_of_its_own_to_read(path, way, mode, monkeypatch, tmp_path):
    with MaskArchive.open(path, mode) as archive:
        monkeypatch.chdir(tmp_path.parent)
        made = way(archive)
        assert equal(made.get("t/0"), random_masks(0))
        assert made.store.device.fd != archive.store.device.fd
        with pytest.raises(ArchiveClosed, match="opened for reading"):
            made.add("t/1", random_masks(1))
        made.close()
        assert equal(archive.get("t/0"), random_masks(0))
        if mode == "a":
            archive.add("t/1", random_masks(1))
    with MaskArchive.open(path) as archive:
        assert archive.names() == ["t/0", "t/1"][: 2 if mode == "a" else 1]


def test_another_file_gets_nothing_when_a_copy_is_gone(path, tmp_path):
    """The copy's end closed the shared descriptor, and its number went to the next file."""
    with MaskArchive.open(path, "a") as archive:
        copy.deepcopy(archive).close()
        other = tmp_path / "other"
        with other.open("wb") as file:
            archive.add("t/1", random_masks(1))
            assert os.fstat(file.fileno()).st_size == 0
        assert other.read_bytes() == b""
    with MaskArchive.open(path) as archive:
        assert equal(archive.get("t/1"), random_masks(1))


def test_a_copy_sees_what_is_committed(path):
    with MaskArchive.open(path, "a") as archive, archive.transaction():
        archive.add("t/1", random_masks(1))
        with copy.deepcopy(archive) as made:
            assert made.names() == ["t/0"]


def test_what_is_closed_or_gone_has_no_copy(path):
    archive = MaskArchive.open(path)
    dumped = pickle.dumps(archive)
    archive.close()
    with pytest.raises(ArchiveClosed):
        copy.deepcopy(archive)
    path.unlink()
    with pytest.raises(ArchiveNotFound):
        pickle.loads(dumped)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_devices(path, way):
    device = FileDevice(path, mode="a")
    made = way(device)
    assert (made.fd != device.fd, made.writable) == (True, False)
    assert made.read(0, 8) == device.read(0, 8)
    made.close()
    device.close()
    with pytest.raises(ArchiveClosed):
        way(device)
    remote = RemoteDevice(f"file://{path}")
    assert way(remote).read(0, 8) == remote.read(0, 8)


def test_workers_of_another_process_read_it(path):
    program = (
        "import pickle, sys; archive = pickle.loads(sys.stdin.buffer.read()); "
        "print(archive.names())"
    )
    with MaskArchive.open(path, "a") as archive:
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=pickle.dumps(archive),
            capture_output=True,
            check=True,
        )
    assert done.stdout == b"['t/0']\n"


FORK = """
import os, sys
from maskstore import MaskArchive
from maskstore.errors import ArchiveWriteError
from tests.maskstore.helpers import random_masks
with MaskArchive.open(sys.argv[1], "a") as archive:
    child = os.fork()
    if child == 0:
        try:
            archive.add("child", random_masks(2))
            said = "written"
        except ArchiveWriteError as error:
            said = str(error)
        with open(sys.argv[2], "w") as file:
            file.write(f"{said}|{archive.names()}")
        os._exit(0)
    os.waitpid(child, 0)
    archive.add("parent", random_masks(1))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_only_the_process_that_opened_it_writes(path, tmp_path):
    told = tmp_path / "told"
    subprocess.run([sys.executable, "-c", FORK, str(path), str(told)], check=True)
    said, names = told.read_text().split("|")
    assert "of which this one is a fork: only that one writes" in said
    assert names == "['t/0']"
    with MaskArchive.open(path) as archive:
        assert archive.names() == ["t/0", "parent"]
        assert equal(archive.get("parent"), random_masks(1))


def test_the_message_of_a_fork(path, monkeypatch):
    with MaskArchive.open(path, "a") as archive:
        owner = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: owner + 1)
        with pytest.raises(ArchiveWriteError, match=f"by process {owner}, of which this one is"):
            archive.add("t/1", random_masks(1))
        monkeypatch.undo()
        archive.add("t/1", random_masks(1))
