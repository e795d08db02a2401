"""Every file that anything here writes is written whole or not at all: faults at every step."""

import os
import resource
import stat
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest

from hopfield import new_memory, save_memory
from maskstore import ArchiveWriteError, InvalidInput, MaskArchive
from maskstore.interchange import save_masks
from maskstore.maintenance import compact, merge, repair
from maskstore.storage.atomic import write_file
from supsup import build
from supsup.archives import create_archive
from supsup.archives.score_sums import ScoreSums
from supsup.checkpoints import export_dense
from supsup.datasets.cache import download
from supsup.figures.cache import write_json
from supsup.plots import drawing
from supsup.task_free import Learner, LearnerCheckpoint
from supsup.training.outcome import TrainedMask
from tests.maskstore.helpers import LAYOUT, random_masks
from tests.supsup.helpers import small_lenet

BACKBONE = build(small_lenet())
OLD = b"what was there"


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Who writes a file: its name, how it is written, and what must be there before."""

    name: str
    write: Callable[[Path], object]
    before: Callable[[Path], object] = field(default=lambda path: path.write_bytes(OLD))


def archive_of(path: Path) -> None:
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add_many((f"t/{at}", random_masks(at), {}) for at in range(3))


def with_source(write: Callable[[MaskArchive, Path], object]) -> Callable[[Path], object]:
    def run(path: Path) -> None:
        with MaskArchive.open(path.parent / "source.h5") as source:
            write(source, path)

    return run


def source(path: Path) -> None:
    archive_of(path.parent / "source.h5")


def compacted(path: Path) -> None:
    with MaskArchive.open(path, "a") as archive:
        compact(archive, codec="raw")


def network_source(path: Path) -> None:
    path.write_bytes(OLD)
    with create_archive(path.parent / "source.h5", BACKBONE) as archive:
        archive.add("a", random_masks(0, BACKBONE.layout))


def empty_archive(path: Path) -> None:
    path.write_bytes(OLD)
    MaskArchive.create(path.parent / "a.h5", LAYOUT).close()


def added_scores(path: Path) -> None:
    trained = create_autospec(TrainedMask, instance=True)
    trained.scores, trained.masks = np.ones(LAYOUT.bits, np.float32), random_masks(0)
    with MaskArchive.open(path.parent / "a.h5") as archive, suppress(GeneratorExit):
        keeping = ScoreSums(archive).adding(trained)
        keeping.__enter__()
        raise GeneratorExit  # killed before the mask is stored


def learning_folder(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(OLD)


def learner_state(path: Path) -> None:
    learner = create_autospec(Learner, instance=True)
    learner.state.return_value = {"masks": [{"name": "t/0", "steps": 1}]}
    learner.allocation.arrays.return_value = {}
    learner.scores.return_value = [np.zeros(4, np.float32)]
    LearnerCheckpoint(path.parent.with_suffix(""), {}).save(learner)


def download_source(path: Path) -> None:
    path.write_bytes(OLD)
    (path.parent / "source").write_bytes(bytes(1000))


def drawn(path: Path) -> None:
    with drawing(path) as figure:
        figure.subplots()


WRITERS = [
    Writer(name="a.bin", write=lambda path: write_file(path, [b"one", b"two"])),
    Writer(
        name="new.h5",
        write=lambda path: MaskArchive.create(path, LAYOUT).close(),
        before=lambda path: None,
    ),
    Writer(name="a.h5", write=compacted, before=archive_of),
    Writer(name="merged.h5", write=with_source(lambda a, path: merge([a], path)), before=source),
    Writer(name="repaired.h5", write=with_source(repair), before=source),
    Writer(name="mask.npz", write=lambda path: save_masks(path, random_masks(0))),
    Writer(name="mask.safetensors", write=lambda path: save_masks(path, random_masks(0))),
    Writer(
        name="dense.safetensors",
        write=with_source(lambda a, path: export_dense(a, "a", BACKBONE, path)),
        before=network_source,
    ),
    Writer(name="m.h5", write=lambda path: save_memory(path, new_memory("hebb", 40), {})),
    Writer(name="a.h5.scores.next", write=added_scores, before=empty_archive),
    Writer(name="a.h5.learning/state", write=learner_state, before=learning_folder),
    Writer(name="rows.json", write=lambda path: write_json(path, {"rows": [1, 2]})),
    Writer(name="plot.png", write=drawn),
    Writer(name="plot.svg", write=drawn),
    Writer(
        name="data.gz",
        write=lambda path: download(
            (path.parent / "source").as_uri(), path, verify=lambda draft: None, quiet=True
        ),
        before=download_source,
    ),
]
FAILURE = (ArchiveWriteError, InvalidInput)  # a data set's file is what the user asked for


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.name)
def writer(request):
    return request.param


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def drafts(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if "draft" in each.name]


class Faults:
    """Counts the system calls that can fail; the one of a number does."""

    def __init__(self, monkeypatch, number, error):
        self.calls, self.number, self.error, self.of_folder = 0, number, error, False
        for name in ("fsync", "rename", "link"):
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))
        real = os.open
        faulty = self.wrapped("open", real)
        monkeypatch.setattr(
            os,
            "open",
            lambda path, flags, *rest, **named: (faulty if flags & os.O_CREAT else real)(
                path, flags, *rest, **named
            ),
        )

    def wrapped(self, name, real):
        def call(*given, **named):
            self.calls += 1
            if self.calls == self.number:
                self.of_folder = name == "fsync" and stat.S_ISDIR(os.fstat(given[0]).st_mode)
                self.links = name == "link"
                raise self.error
            return real(*given, **named)

        return call


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=repr)
def test_a_fault_at_every_call_leaves_the_old_file_and_no_draft(writer, error, tmp_path):
    number, faults = 0, None
    while faults is None or faults.calls >= number:
        number += 1
        folder = tmp_path / str(number)
        path = folder / writer.name
        folder.mkdir()
        writer.before(path)
        old = content(path)
        with pytest.MonkeyPatch.context() as monkeypatch:
            faults = Faults(monkeypatch, number, error)
            try:
                writer.write(path)
                failed = False
            except (*FAILURE, KeyboardInterrupt):
                failed = True
        assert not drafts(folder)
        if faults.calls < number:
            assert not failed
        elif not faults.of_folder and not (faults.links and not failed):
            # A folder that cannot be synced has the new file, whole; one without hard links, too.
            assert failed
            assert content(path) == old
    assert number > 3
    assert content(path) != old


@contextmanager
def small_disk(most: int):
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_draft(writer, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = tmp_path / "whole" / writer.name
    writer.before(whole)
    writer.write(whole)
    size = whole.stat().st_size
    for most in (0, size // 2, size - 1):
        folder = tmp_path / str(most)
        folder.mkdir()
        path = folder / writer.name
        writer.before(path)
        old = content(path)
        with small_disk(most), pytest.raises(FAILURE):
            writer.write(path)
        assert not drafts(folder)
        assert content(path) == old


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002], ids=oct)
def test_the_mode_is_that_of_the_umask(writer, umask, tmp_path):
    path = tmp_path / writer.name
    before = os.umask(umask)
    try:
        writer.before(path)
        writer.write(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_link_planted_where_the_draft_will_be_is_not_followed(writer, tmp_path, monkeypatch):
    """Even of who knows the random names beforehand."""
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    drafted, real = [], os.open

    def seen(path, flags, *rest, **named):
        if flags & os.O_CREAT:
            drafted.append(Path(path).name)
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", seen)
    (tmp_path / "first").mkdir()
    writer.before(tmp_path / "first" / writer.name)
    drafted.clear()
    writer.write(tmp_path / "first" / writer.name)
    assert drafted
    (tmp_path / "second").mkdir()
    path = tmp_path / "second" / writer.name
    writer.before(path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    for name in set(drafted):
        (path.parent / name).symlink_to(victim)
    with suppress(*FAILURE):
        writer.write(path)
    assert victim.read_bytes() == b"mine"
    assert not victim.is_symlink()


def test_names_that_drafts_once_had_can_be_taken(writer, tmp_path):
    """A link planted at a name that can be foretold stays what it is, and so does its file."""
    path = tmp_path / writer.name
    writer.before(path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    names = {
        f".{path.stem}.draft{path.suffix}",
        f".{path.name}.draft",
        f"{path.name}.next",
        f"{path.stem}.next",
        f".{path.name}.tmp",
    }
    for name in names - {path.name}:
        (path.parent / name).symlink_to(victim)
    old = content(path)
    writer.write(path)
    assert victim.read_bytes() == b"mine"
    assert content(path) != old


def test_a_link_in_its_place_is_replaced_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "a.npz").symlink_to(victim)
    save_masks(tmp_path / "a.npz", random_masks(0))
    assert victim.read_bytes() == b"mine"
    assert not (tmp_path / "a.npz").is_symlink()
