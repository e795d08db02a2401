"""Writers queue, readers see whole tasks. ``benchmarks/concurrency.py`` shows the figures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore._verify import verify
from tests.maskstore.helpers import LAYOUT, random_masks

WRITER = """
import sys
from maskstore import MaskArchive
from tests.maskstore.helpers import random_masks
path, writer, tasks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(tasks):
    with MaskArchive.open(path, "a", timeout=120.0) as archive:
        archive.add(f"{writer}/{number}", random_masks(1000 * writer + number))
"""

READER = """
import sys
from maskstore import MaskArchive
from tests.maskstore.helpers import equal, random_masks
path, tasks = sys.argv[1], int(sys.argv[2])
seen = reads = 0
with MaskArchive.open(path) as archive:
    while seen < tasks:
        archive.refresh()
        assert len(archive) >= seen, "a task vanished"
        seen = len(archive)
        for task in archive:
            writer, number = map(int, task.name.split("/"))
            assert equal(archive.get(task.name), random_masks(1000 * writer + number)), task.name
            reads += 1
print(reads)
"""


def run_together(path: Path, *, writers: int, tasks: int, readers: int) -> int:
    """All at once; returns the masks read meanwhile. AssertionError at anything wrong."""
    MaskArchive.create(path, LAYOUT).close()
    total = str(writers * tasks)
    reading = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(path), total], stdout=subprocess.PIPE, text=True
        )
        for _ in range(readers)
    ]
    writing = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(writer), str(tasks)])
        for writer in range(writers)
    ]
    assert [process.wait(timeout=300) for process in writing] == [0] * writers
    reads = [int(process.communicate(timeout=300)[0]) for process in reading]
    assert [process.returncode for process in reading] == [0] * readers
    with MaskArchive.open(path) as archive:
        expected = {f"{w}/{n}": 1000 * w + n for w in range(writers) for n in range(tasks)}
        assert set(archive.names()) == set(expected)
        for name, seed in expected.items():
            assert np.array_equal(archive.get_packed(name), LAYOUT.pack(random_masks(seed)))
        assert verify(archive, deep=True) == []
    return sum(reads)


def test_writers_and_readers_together(tmp_path):
    assert run_together(tmp_path / "a.h5", writers=3, tasks=8, readers=2) >= 48


def test_a_commit_between_a_readers_reads_is_no_truncation(tmp_path, monkeypatch):
    from maskstore.storage.raw_file import FileDevice

    path = tmp_path / "a.h5"
    MaskArchive.create(path, LAYOUT).close()
    real, done = FileDevice.size, []

    def size_then_commit(self):
        size = real(self)
        if not self.writable and not done:
            done.append(True)
            with MaskArchive.open(path, "a") as writer:
                writer.add_many((f"t/{i}", random_masks(i), {}) for i in range(50))
        return size

    monkeypatch.setattr(FileDevice, "size", size_then_commit)
    with MaskArchive.open(path) as reader:
        assert done
        assert reader.damage == []
        assert len(reader) == 50


def test_without_a_lock_only_when_asked(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT):
        # The caller says that nobody else writes; then there is nothing to wait for.
        MaskArchive.open(path, "a", timeout=0.0, lock=False).close()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    import errno
    import fcntl

    from maskstore import ArchiveWriteError

    path = tmp_path / "a.h5"
    MaskArchive.create(path, LAYOUT).close()

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ArchiveWriteError, match="--no-lock"):
        MaskArchive.open(path, "a")
    with MaskArchive.open(path, "a", lock=False) as archive:
        archive.add("t", random_masks(0))
