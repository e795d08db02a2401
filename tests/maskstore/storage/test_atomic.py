"""write_file by itself; what all its users have of it is in tests/test_whole_files.py."""

import os
import subprocess
import sys

import pytest

from maskstore import ArchiveWriteError, InvalidInput, MaskArchive, compact
from maskstore.storage.atomic import draft_beside, sync_folder, write_file


@pytest.mark.parametrize(
    "content",
    [
        b"all of it",
        [b"all ", b"of ", b"it"],
        (piece for piece in (b"all ", b"of it")),
        lambda file: file.write(b"all of it"),
        lambda file: (file.write(b"not of it"), file.seek(0), file.write(b"all")),
    ],
    ids=["bytes", "pieces", "generator", "callback", "seeking callback"],
)
def test_content_of_every_kind(content, tmp_path):
    assert write_file(tmp_path / "a", content) == 9
    assert (tmp_path / "a").read_bytes() == b"all of it"
    assert os.listdir(tmp_path) == ["a"]


class Objection(Exception):
    pass


def pieces_that_end_early():
    yield b"half"
    raise Objection


def refuse(*given):
    raise Objection


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_file(path, pieces_that_end_early()),
        lambda path: write_file(path, refuse),
        lambda path: write_file(path, b"new", check=refuse),
    ],
    ids=["pieces", "callback", "check"],
)
def test_what_the_caller_raises_keeps_the_old_file(write, tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(Objection):
        write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_the_check_sees_all_of_it_before_it_has_its_name(tmp_path):
    seen = []
    write_file(
        tmp_path / "a", [b"one", b"two"], check=lambda draft: seen.append(draft.read_bytes())
    )
    assert seen == [b"onetwo"]


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        (
            "none/a",
            ArchiveWriteError,
            "a: cannot keep: No such file .*no folder .*none",
        ),
        ("folder", ArchiveWriteError, "folder: cannot keep: what is there is no regular file"),
        ("pipe", ArchiveWriteError, "pipe: cannot keep: what is there is no regular file"),
        ("file/a", ArchiveWriteError, "a: cannot keep: Not a directory"),
        ("x" * 300, ArchiveWriteError, "cannot keep: File name too long"),
        ("a\0b", InvalidInput, "not a path"),
    ],
)
def test_places_where_nothing_can_be_written(place, error, message, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error, match=message):
        write_file(tmp_path / place, b"new", action="keep")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_name_as_long_as_a_name_can_be(tmp_path):
    write_file(tmp_path / ("x" * 255), b"new")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"new"


def test_a_place_that_is_taken_meanwhile(tmp_path):
    path = tmp_path / "a"
    with draft_beside(path) as draft:
        path.write_bytes(b"another's")
        with pytest.raises(FileExistsError):
            draft.take_free_place()
        os.close(draft.fd)
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_bytes() == b"another's"


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_hard_links(taken, tmp_path, monkeypatch):
    def no_links(*names, **folders):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a"
    with draft_beside(path) as draft:
        os.write(draft.fd, b"new")
        os.close(draft.fd)
        if taken:
            path.symlink_to("nowhere")
            with pytest.raises(FileExistsError):
                draft.take_free_place()
        else:
            draft.take_free_place()
            assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


WRITERS = {
    "create": "MaskArchive.create(path, {'a': (3,)})",
    "compact": "compact(MaskArchive.open(path, 'a'))",
    "write_file": "write_file(path, bytes(9))",
}
KILLED = """
import os, sys
from pathlib import Path
from maskstore import MaskArchive, compact
from maskstore.storage.atomic import write_file
path = Path(sys.argv[1])
os.rename = os.link = lambda *names, **folders: os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("writer", WRITERS)
def test_the_draft_of_a_killed_process_goes_with_the_next_write(writer, tmp_path):
    path = tmp_path / "a"
    if writer == "compact":
        MaskArchive.create(path, {"a": (3,)}).close()
    before = os.listdir(tmp_path)
    subprocess.run([sys.executable, "-c", KILLED + WRITERS[writer], str(path)])
    assert len(os.listdir(tmp_path)) == len(before) + 1
    exec(WRITERS[writer])
    assert os.listdir(tmp_path) == ["a"]


def test_drafts_of_others_stay(tmp_path):
    """That of somebody who is at work, those for other places, and what only looks like one."""
    path = tmp_path / "a"
    with draft_beside(path) as draft, draft_beside(tmp_path / "b") as other:
        os.write(draft.fd, b"at work")
        os.write(other.fd, b"elsewhere")
        os.close(other.fd)
        stem = draft.path.name[:17]
        (tmp_path / f"{stem}0.draft").mkdir()
        (tmp_path / f"{stem}1.draft").symlink_to(tmp_path / "precious")
        (tmp_path / "precious").write_bytes(b"mine")
        os.mkfifo(tmp_path / f"{stem}2.draft")
        left = sorted(os.listdir(tmp_path))
        write_file(path, b"new")
        assert sorted(os.listdir(tmp_path)) == sorted([*left, "a"])
        os.close(draft.fd)
        write_file(path, b"newer")
        assert not draft.path.exists()
    assert (tmp_path / "precious").read_bytes() == b"mine"


def test_an_archive_made_without_a_lock_has_none(tmp_path):
    with MaskArchive.create(tmp_path / "a", {"a": (3,)}, lock=False) as archive:
        MaskArchive.open(tmp_path / "a", "a", timeout=0).close()
        compact(archive)
        MaskArchive.open(tmp_path / "a", "a", timeout=0).close()


def test_a_folder_is_synced_or_the_error_said(tmp_path, monkeypatch):
    synced, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd)))
    sync_folder(tmp_path)
    assert synced == [tmp_path.stat().st_ino]
    with pytest.raises(ArchiveWriteError, match="No such file"):
        sync_folder(tmp_path / "none")
