"""What goes wrong around a sound file: failed growth, threads, links, moved and deleted files."""

import json
import os
import stat
import struct
import sys
import threading
import zlib

import pytest

import maskstore
from maskstore import ArchiveWriteError, MaskArchive
from maskstore._verify import verify
from maskstore.maintenance import compact
from maskstore.storage.metadata import MAX_METADATA_DEPTH
from maskstore.storage.raw_file import FileDevice
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add_many((f"t/{i}", random_masks(i), {}) for i in range(10))
    return path


def check(path, names):
    with MaskArchive.open(path, "a") as archive:
        assert archive.names() == names
        assert verify(archive, deep=True) == []


def test_a_write_error_caught_inside_a_transaction(path, monkeypatch):
    """The row that needs a new extent fails and is skipped; the others are committed."""
    real = FileDevice.write
    with MaskArchive.open(path, "a") as archive, archive.transaction():
        refused = []

        def write(self, offset, data):
            if len(data) > 2000:  # only a new extent is that large
                refused.append(len(data))
                real(self, offset, data[:100])
                raise ArchiveWriteError("no space left")
            real(self, offset, data)

        monkeypatch.setattr(FileDevice, "write", write)
        added = []
        for i in range(10, 20):
            try:
                archive.add(f"t/{i}", random_masks(i))
                added.append(f"t/{i}")
            except ArchiveWriteError:
                pass
        monkeypatch.undo()
        assert refused
        assert len(added) == 6
    check(path, [f"t/{i}" for i in range(16)])


def test_threads_share_an_archive(path):
    with MaskArchive.open(path, "a") as archive:

        def work(thread):
            for i in range(40):
                archive.add(f"{thread}/{i}", random_masks(1000 * thread + i))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with MaskArchive.open(path, "a") as archive:
        assert len(archive) == 130
        for thread in range(3):
            for i in range(40):
                assert equal(archive.get(f"{thread}/{i}"), random_masks(1000 * thread + i))


def test_compact_through_a_symbolic_link(path, tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    with MaskArchive.open(link, "a") as archive:
        archive.remove("t/0")
        compact(archive)
        archive.add("after", random_masks(1))
    assert link.is_symlink()
    check(path, [*(f"t/{i}" for i in range(1, 10)), "after"])


def test_compact_refuses_hard_links(path, tmp_path):
    os.link(path, tmp_path / "second.h5")
    before = path.read_bytes()
    with (
        MaskArchive.open(path, "a") as archive,
        pytest.raises(ArchiveWriteError, match="hard links"),
    ):
        compact(archive)
    assert path.read_bytes() == before


def test_another_working_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with MaskArchive.open("a.h5", "a") as archive, MaskArchive.open("a.h5") as reader:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        archive.remove("t/0")
        compact(archive)
        archive.add("after", random_masks(1))
        assert reader.refresh()
        assert "after" in reader
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_compact_keeps_the_mode_and_clears_an_old_draft(path):
    path.chmod(0o600)
    with MaskArchive.open(path, "a") as archive:
        compact(archive)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["a.h5"]


def test_a_deleted_file_takes_no_more_tasks(path):
    with MaskArchive.open(path, "a") as archive:
        path.unlink()
        with pytest.raises(ArchiveWriteError, match="deleted or replaced"):
            archive.add("lost", random_masks(0))
        assert "lost" not in archive


def test_a_generator_that_adds_the_same_name(path):
    with MaskArchive.open(path, "a") as archive:

        def items():
            yield "new", random_masks(1), {}
            archive.add("new", random_masks(2))

        with pytest.raises(maskstore.TaskExists):
            archive.add_many(items())
    check(path, [f"t/{i}" for i in range(10)])


def test_a_newer_slot_beside_an_older_one(path):
    data = bytearray(path.read_bytes())
    newest = max((512, 1024), key=lambda at: struct.unpack_from("<Q", data, at + 16)[0])
    data[newest + 8] = 3
    struct.pack_into("<I", data, newest + 508, zlib.crc32(data[newest : newest + 508]))
    path.write_bytes(data)
    with pytest.raises(maskstore.UnsupportedVersion, match="version 3"):
        MaskArchive.open(path, "a")
    assert path.read_bytes() == data


@pytest.mark.parametrize("version", [1, 2])
def test_an_interrupt_at_every_line_of_an_add(path, version):
    """KeyboardInterrupt injected at line after line: the task is there or not, and work goes on."""
    base = path.read_bytes()
    lines = 0
    # With tensors the file becomes one of version 2 meanwhile.
    tensors = random_tensors(77) if version == 2 else {}
    for stop_at in range(1, 3000, 3):
        path.write_bytes(base)
        archive = MaskArchive.open(path, "a")
        count = 0

        def tracer(frame, event, arg, stop_at=stop_at):
            nonlocal count
            if "maskstore" not in frame.f_code.co_filename:
                return None
            if event == "line":
                count += 1
                if count == stop_at:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return tracer

        interrupted = False
        sys.settrace(tracer)
        try:
            archive.add("new", random_masks(77), tensors=tensors)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(None)
        lines += interrupted
        with archive:
            # The object goes on, or says that it cannot; it never pretends.
            try:
                archive.add("next", random_masks(78))
                kept = True
            except maskstore.ArchiveError:
                kept = False
        with MaskArchive.open(path, "a") as again:
            assert verify(again) == []
            assert again.names()[:10] == [f"t/{i}" for i in range(10)]
            assert set(again.names()[10:]) <= {"new", "next"}
            assert ("next" in again) == kept
            assert "new" not in again or equal(again.tensors("new"), tensors)
        if not interrupted:
            break
    assert lines > 20


def test_metadata_is_not_too_deep(path):
    deep = {"x": 1}
    for _ in range(MAX_METADATA_DEPTH - 1):
        deep = {"x": deep}
    with MaskArchive.open(path, "a") as archive:
        archive.add("deep", random_masks(0), deep)
        assert archive.task("deep").metadata == deep
        with pytest.raises(maskstore.InvalidInput, match="nested deeper"):
            archive.add("deeper", random_masks(0), {"x": deep})


@pytest.mark.parametrize(
    "shape", [[2] * 4_000_000, [10**4000, 10**4000], [2**33], [1] * 33], ids=lambda s: str(len(s))
)
def test_headers_with_absurd_shapes(shape):
    with pytest.raises(maskstore.InvalidInput, match="sizes"):
        maskstore.MaskLayout.from_json([{"name": "w", "shape": shape}])


def test_a_timeout_that_is_no_number_of_seconds(path):
    for timeout in (float("nan"), -1.0):
        with pytest.raises(maskstore.InvalidInput, match="timeout"):
            MaskArchive.open(path, "a", timeout=timeout)


def test_paths_that_cannot_be(tmp_path):
    with pytest.raises(maskstore.ArchiveWriteError):
        MaskArchive.create(tmp_path / ("x" * 300), LAYOUT)
    with pytest.raises(maskstore.InvalidInput):
        MaskArchive.open(tmp_path / "a\0b")
    MaskArchive.create(tmp_path / ("名" * 80 + ".h5"), LAYOUT).close()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_closing_gives_back_the_lock_though_a_child_lives(path):
    archive = MaskArchive.open(path, "a")
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - the child only holds what it inherited
        os.read(read_end, 1)
        os._exit(0)
    try:
        archive.close()
        MaskArchive.open(path, "a", timeout=0.0).close()
    finally:
        os.write(write_end, b"x")
        os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)


def test_an_archive_that_is_dropped_gives_back_the_lock(path):
    MaskArchive.open(path, "a")
    MaskArchive.open(path, "a", timeout=0.0).close()


def test_a_forged_count_of_ones_is_noticed(path):
    with MaskArchive.open(path) as archive:
        row = archive.store.extents[0].index_offset
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, row + 24, 10**6)
    crc = zlib.crc32(b"t/0", zlib.crc32(data[row : row + 64]))
    struct.pack_into("<I", data, row + 64, crc)
    path.write_bytes(data)
    with MaskArchive.open(path) as archive:
        assert [each.task for each in verify(archive, deep=True)] == ["t/0"]
        from maskstore.stats import archive_stats

        json.dumps(archive_stats(archive).to_json(), allow_nan=False)
