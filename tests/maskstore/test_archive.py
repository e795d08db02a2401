import hashlib
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import maskstore
from maskstore import MaskArchive
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "masks.h5"


@pytest.fixture
def filled(path):
    with MaskArchive.create(path, LAYOUT, backbone={"net": "x"}, weights_digest="ab") as archive:
        for seed in range(40):
            archive.add(f"task/{seed}", random_masks(seed), {"seed": seed})
    return path


def test_every_mask_comes_back_in_another_process(filled):
    code = (
        "import sys, json; from maskstore import MaskArchive\n"
        "with MaskArchive.open(sys.argv[1]) as archive:\n"
        "    print(json.dumps({t.name: [t.sha256, t.metadata] for t in archive}))\n"
        "    for t in archive: archive.get(t.name)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(filled)], capture_output=True, text=True, check=True
    ).stdout
    expected = {}
    for seed in range(40):
        bits = b"".join(
            np.packbits(m.ravel(), bitorder="little").tobytes() for m in random_masks(seed).values()
        )
        expected[f"task/{seed}"] = [hashlib.sha256(bits).hexdigest(), {"seed": seed}]
    assert json.loads(out) == expected
    with MaskArchive.open(filled) as archive:
        assert all(equal(archive.get(f"task/{s}"), random_masks(s)) for s in range(40))
        assert archive.names() == [f"task/{s}" for s in range(40)]
        assert (archive.backbone, archive.weights_digest) == ({"net": "x"}, "ab")


@pytest.mark.parametrize("codec", ["raw", "zstd", "auto"])
@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_codecs_are_lossless(path, codec, density):
    layout = maskstore.MaskLayout({"w": (300, 101), "b": (3,)})
    masks = random_masks(5, layout, density)
    with MaskArchive.create(path, layout) as archive:
        task = archive.add("t", masks, codec=codec)
        assert equal(archive.get("t"), masks)
    assert task.ones == sum(int(m.sum()) for m in masks.values())
    assert task.codec == (codec if codec != "auto" else "raw" if density == 0.5 else "ans")
    assert task.bytes <= layout.packed_bytes + 16


def test_plain_h5py_reads_index_text_and_payload(filled):
    with MaskArchive.open(filled) as archive, h5py.File(filled) as file:
        assert json.loads(bytes(file["header"][...]))["layout"] == LAYOUT.to_json()
        names = []
        for key in sorted(key for key in file if key.isdigit()):
            group = file[key]
            for row in group["index"][...]:
                start, length = int(row["text_offset"]), int(row["name_bytes"])
                name = bytes(group["text"][start : start + length]).decode()
                start, length = int(row["payload_offset"]), int(row["payload_bytes"])
                payload = group["heap"][start : start + length]
                assert bytes(row["sha256"]).hex() == archive.task(name).sha256
                assert int(row["codec"]) == 0  # 15 bits: zstd can not beat raw
                assert np.array_equal(payload, archive.get_packed(name))
                names.append(name)
        assert names == archive.names()


def test_packed_is_every_mask(filled):
    with MaskArchive.open(filled) as archive:
        packed = archive.packed()
        assert packed.names == tuple(archive.names())
        assert equal(packed.unpack(7), random_masks(7))
        assert archive.packed(["task/3", "task/1"]).names == ("task/3", "task/1")


def test_remove_and_update(filled):
    with MaskArchive.open(filled, "a") as archive:
        archive.remove("task/3")
        archive.update("task/4", {"new": True})
        archive.add("task/3", random_masks(99))
    with MaskArchive.open(filled) as archive:
        assert archive.names()[-1] == "task/3"
        assert equal(archive.get("task/3"), random_masks(99))
        assert archive.task("task/4").metadata == {"new": True}
        assert equal(archive.get("task/4"), random_masks(4))
        assert archive.task("task/5").index == 4


def test_a_transaction_is_all_or_nothing(filled):
    before = filled.read_bytes()
    with MaskArchive.open(filled, "a") as archive:
        with pytest.raises(RuntimeError), archive.transaction():
            archive.add("a", random_masks(0))
            archive.remove("task/1")
            assert equal(archive.get("a"), random_masks(0))
            assert "task/1" not in archive
            raise RuntimeError
        assert "a" not in archive
        assert "task/1" in archive
    assert filled.read_bytes() == before
    with MaskArchive.open(filled, "a") as archive:
        with archive.transaction():
            for seed in range(200):
                archive.add(f"more/{seed}", random_masks(seed))
        assert len(archive) == 240


def test_add_many_streams_and_is_one_transaction(path):
    with MaskArchive.create(path, LAYOUT) as archive:
        items = ((f"t/{i}", random_masks(i), {}) for i in range(500))
        assert archive.add_many(items) == 500
        generation = archive.store.slot.generation
        with pytest.raises(maskstore.TaskExists):
            archive.add_many([("new", random_masks(0), {}), ("new", random_masks(1), {})])
        assert archive.store.slot.generation == generation
        assert "new" not in archive


def test_readers_keep_their_state_until_they_refresh(filled):
    with MaskArchive.open(filled) as reader, MaskArchive.open(filled, "a") as writer:
        writer.add("late", random_masks(7))
        writer.remove("task/0")
        assert "late" not in reader
        assert equal(reader.get("task/0"), random_masks(0))
        assert reader.refresh()
        assert not reader.refresh()
        assert equal(reader.get("late"), random_masks(7))
        assert "task/0" not in reader


def test_a_second_writer_waits_then_names_the_first(filled):
    with MaskArchive.open(filled, "a"):
        with pytest.raises(maskstore.ArchiveLocked, match=r"is writing to it \(waited 0.1 s\)"):
            MaskArchive.open(filled, "a", timeout=0.1)
        with MaskArchive.open(filled) as reader:
            assert len(reader) == 40
    MaskArchive.open(filled, "a", timeout=0.1).close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty name"),
        ("x" * 256, "at most 255 bytes"),
        ("a\ud800", "not valid UTF-8"),
        ("a\nb", "control characters"),
    ],
)
def test_unusable_names(filled, name, message):
    before = digest(filled)
    with (
        MaskArchive.open(filled, "a") as archive,
        pytest.raises(maskstore.InvalidName, match=message),
    ):
        archive.add(name, random_masks(0))
    assert digest(filled) == before


@pytest.mark.parametrize("metadata", [{"x": float("nan")}, {"x": object()}, {"x": "y" * (1 << 25)}])
def test_unusable_metadata(filled, metadata):
    before = digest(filled)
    with MaskArchive.open(filled, "a") as archive, pytest.raises(maskstore.InvalidInput):
        archive.add("new", random_masks(0), metadata)
    assert digest(filled) == before


def test_errors_of_use(filled, path):
    with MaskArchive.open(filled) as archive:
        with pytest.raises(maskstore.TaskNotFound, match="no task 'none' among its 40 tasks"):
            archive.get("none")
        with pytest.raises(maskstore.ArchiveClosed, match="opened for reading"):
            archive.add("x", random_masks(0))
        with pytest.raises(maskstore.ArchiveClosed, match="opened for reading"):
            archive.remove("task/1")
    with pytest.raises(maskstore.ArchiveClosed, match="is closed"):
        archive.get("task/1")
    with pytest.raises(maskstore.ArchiveExists):
        MaskArchive.create(path, LAYOUT)
    with pytest.raises(maskstore.InvalidInput, match="codec 'gzip' is unknown"):
        MaskArchive.open(filled, "a").add("x", random_masks(0), codec="gzip")


def test_files_that_are_no_archive(tmp_path):
    with pytest.raises(maskstore.ArchiveNotFound):
        MaskArchive.open(tmp_path / "none.h5")
    with pytest.raises(maskstore.ArchiveNotFound):
        MaskArchive.open(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(maskstore.ArchiveNotFound, match="not a regular file"):
        MaskArchive.open(tmp_path / "pipe")
    text = tmp_path / "text.h5"
    text.write_text("no archive")
    with pytest.raises(maskstore.NotAnArchive, match="not an HDF5 file"):
        MaskArchive.open(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["masks"] = np.zeros(5000)
    before = digest(other)
    with pytest.raises(maskstore.NotAnArchive, match="not a mask archive"):
        MaskArchive.open(other, "a")
    assert digest(other) == before
    empty = tmp_path / "empty.h5"
    empty.touch()
    with pytest.raises(maskstore.NotAnArchive):
        MaskArchive.open(empty)


def test_a_later_version_is_refused_by_number(filled):
    data = bytearray(filled.read_bytes())
    for sector in (512, 1024):
        data[sector + 8] = 3
    filled.write_bytes(data)
    with pytest.raises(maskstore.UnsupportedVersion, match="version 3, this .* versions 1 and 2"):
        MaskArchive.open(filled)


def test_an_unwritable_folder(tmp_path):
    with pytest.raises(maskstore.ArchiveWriteError):
        MaskArchive.create(tmp_path / "no" / "such" / "a.h5", LAYOUT)
    assert list(tmp_path.iterdir()) == []


def test_no_draft_is_left_behind(filled):
    assert [each.name for each in filled.parent.iterdir()] == [filled.name]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from maskstore import ArchiveWriteError, MaskArchive, MaskLayout
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, limit, create = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "create"
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
masks = {"w": np.random.default_rng(1).random(40_000) < 0.5}
try:
    if create:
        MaskArchive.create(path, MaskLayout({"w": (40_000,)}))
    else:
        with MaskArchive.open(path, "a") as archive:
            archive.add_many([(f"new/{i}", masks, {}) for i in range(40)])
except ArchiveWriteError as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.parametrize("room", [0, 1, 3000, 20_000, 60_000, 199_000])
def test_a_full_disk_changes_nothing(path, room):
    layout = maskstore.MaskLayout({"w": (40_000,)})
    with MaskArchive.create(path, layout) as archive:
        for seed in range(10):
            archive.add(f"t/{seed}", random_masks(seed, layout))
    before = path.read_bytes()
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(len(before) + room), "add"],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (1, "")
    assert "too large" in run.stdout
    assert path.read_bytes() == before


def test_a_full_disk_leaves_no_new_archive(tmp_path):
    path = tmp_path / "a.h5"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), "700", "create"],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (1, "")
    assert list(tmp_path.iterdir()) == []


class ArchiveMachine(RuleBasedStateMachine):
    """Any sequence of changes and reopenings gives what a dict would."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "a.h5"
        self.archive = MaskArchive.create(self.path, LAYOUT)
        self.expected = {}
        self.shared = {"a": {}, "b": {}}
        self.count = 0

    @rule(
        size=st.integers(1, 40),
        metadata=st.dictionaries(st.text(), st.integers(), max_size=3),
        with_tensors=st.sampled_from([0, 1, 3]),
    )
    def add_many(self, size, metadata, with_tensors):
        items = []
        for number in range(size):
            self.count += 1
            tensors = random_tensors(self.count) if number < with_tensors else {}
            items.append((f"t/{self.count}", random_masks(self.count), metadata, tensors))
        self.archive.add_many(items)
        self.expected.update({name: tuple(rest) for name, *rest in items})

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), empty=st.booleans())
    def set_tensors(self, data, empty):
        name = data.draw(st.sampled_from(sorted(self.expected)))
        self.count += 1
        tensors = {} if empty else random_tensors(self.count)
        self.archive.set_tensors(name, tensors)
        self.expected[name] = (*self.expected[name][:2], tensors)

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), freed=st.booleans())
    def rename(self, data, freed):
        name = data.draw(st.sampled_from(sorted(self.expected)))
        self.count += 1
        new = f"freed {self.count}" if freed else f"t/{self.count}"
        self.archive.rename(name, new)
        self.expected = {new if key == name else key: v for key, v in self.expected.items()}

    @rule(name=st.sampled_from("ab"), empty=st.booleans())
    def set_shared_tensors(self, name, empty):
        self.count += 1
        tensors = {} if empty else random_tensors(self.count)
        self.archive.set_shared_tensors(name, tensors)
        self.shared[name] = tensors

    @rule()
    def compact(self):
        maskstore.compact(self.archive)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def remove(self, data):
        name = data.draw(st.sampled_from(sorted(self.expected)))
        self.archive.remove(name)
        del self.expected[name]

    @rule()
    def reopen(self):
        self.archive.close()
        self.archive = MaskArchive.open(self.path, "a")

    @rule()
    def a_failed_transaction(self):
        with pytest.raises(ZeroDivisionError), self.archive.transaction():
            for i in range(30):
                self.archive.add(f"lost/{i}", random_masks(i), tensors=random_tensors(i))
            self.archive.rename("lost/0", "lost/30")
            self.archive.set_shared_tensors("a", random_tensors(0))
            raise ZeroDivisionError

    @invariant()
    def same_as_a_dict(self):
        assert self.archive.names() == list(self.expected)
        for task in self.archive:
            masks, metadata, tensors = self.expected[task.name]
            assert task.metadata == metadata
            assert equal(self.archive.get(task.name), masks)
            assert equal(self.archive.tensors(task.name), tensors)
            assert [each.name for each in task.tensors] == list(tensors)
        for name, tensors in self.shared.items():
            assert equal(self.archive.shared_tensors(name), tensors)
            assert (name in self.archive.shared) == bool(tensors)

    def teardown(self):
        self.archive.close()
        self.folder.cleanup()


TestArchiveMachine = ArchiveMachine.TestCase
TestArchiveMachine.settings = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_printable_name_round_trips(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("names") / "a.h5"
    with MaskArchive.create(path, LAYOUT) as archive:
        try:
            archive.add(name, random_masks(0))
        except maskstore.InvalidName:
            assert not name.isprintable() or len(name.encode(errors="replace")) > 255
            return
    with MaskArchive.open(path) as archive:
        assert archive.names() == [name]
