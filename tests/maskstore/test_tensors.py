"""What format version 2 adds, through MaskArchive: tensors of tasks and of the archive, renames."""

import struct
import zlib

import numpy as np
import pytest

import maskstore
from maskstore import BFloat16, MaskArchive, TensorInfo
from maskstore._verify import verify
from maskstore.maintenance import compact, merge, repair
from maskstore.stats import archive_stats, task_stats
from maskstore.storage.format import ROW_BYTES, ROW_CHECKED_BYTES
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


@pytest.fixture
def filled(path):
    """20 tasks, of which every second one has tensors; two sets of the archive's own."""
    with MaskArchive.create(path, LAYOUT, backbone={"net": "x"}) as archive:
        archive.set_shared_tensors(
            "weights", {"fc.weight": np.linspace(0, 1, 50, dtype=np.float32)}
        )
        archive.set_shared_tensors("statistics", random_tensors(99))
        for seed in range(20):
            tensors = random_tensors(seed) if seed % 2 else None
            archive.add(f"t/{seed}", random_masks(seed), {"seed": seed}, tensors=tensors)
    return path


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_tensors_come_back_in_another_process(filled):
    with MaskArchive.open(filled) as archive:
        for seed in range(20):
            assert equal(archive.get(f"t/{seed}"), random_masks(seed))
            assert equal(archive.tensors(f"t/{seed}"), random_tensors(seed) if seed % 2 else {})
        assert equal(archive.shared_tensors("statistics"), random_tensors(99))
        assert archive.shared_tensors("none") == {}
        assert list(archive.shared) == ["weights", "statistics"]
        assert archive.shared["weights"][0][:3] == ("fc.weight", (50,), "float32")
        assert archive.task("t/2").tensors == ()
        assert [each.name for each in archive.task("t/3").tensors] == list(random_tensors(3))
        assert verify(archive, deep=True) == []
        with pytest.raises(maskstore.TaskNotFound):
            archive.tensors("none")
    with pytest.raises(maskstore.ArchiveClosed):
        archive.shared_tensors("weights")


def test_a_file_without_them_stays_version_1_to_the_byte(tmp_path):
    files = []
    for name in ("one.h5", "two.h5"):
        with MaskArchive.create(tmp_path / name, LAYOUT) as archive:
            archive.add("a", random_masks(0))
            archive.add("b", random_masks(1), {"classes": ["cat", "dog"]})
            if name == "two.h5":  # none of these needs the new version
                archive.rename("a", "a")
                archive.set_tensors("a", {})
                archive.set_shared_tensors("weights", {})
                with pytest.raises(ZeroDivisionError), archive.transaction():
                    archive.set_tensors("a", random_tensors(0))
                    archive.add_many((f"c{i}", random_masks(i), {}) for i in range(30))
                    raise ZeroDivisionError
                with pytest.raises(maskstore.InvalidInput):
                    archive.add("c", random_masks(0), tensors={"x": np.zeros(3)})
            assert archive.format_version == 1
            compact(archive)
            archive.add_many([("c", random_masks(2), {}, {})])
            assert archive.format_version == 1
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


CHANGES = {
    "add": lambda archive: archive.add("new", random_masks(5), tensors=random_tensors(5)),
    "add_many": lambda archive: archive.add_many(
        [("m", random_masks(1), {}), ("n", random_masks(2), {}, random_tensors(2))]
    ),
    "set_tensors": lambda archive: archive.set_tensors("a", random_tensors(0)),
    "rename": lambda archive: archive.rename("a", "z"),
    "shared": lambda archive: archive.set_shared_tensors("w", random_tensors(0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_commit_that_needs_version_2_makes_it_so_for_good(path, change):
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add_many((name, random_masks(0), {}) for name in "ab")
        reader = MaskArchive.open(path)
        CHANGES[change](archive)
        assert archive.format_version == 2
        data = path.read_bytes()
        # Both slots: a release of version 1 has no older state to fall back to.
        assert [struct.unpack_from("<I", data, at + 8)[0] for at in (512, 1024)] == [2, 2]
        assert verify(archive, deep=True) == []
        assert (reader.names(), reader.format_version) == (["a", "b"], 1)
        assert reader.refresh()
        assert (reader.names(), reader.format_version) == (archive.names(), 2)
        reader.close()
        for name in archive.names():
            archive.remove(name)
        archive.set_shared_tensors("w", {})
        compact(archive)
        assert (len(archive), archive.shared, archive.format_version) == (0, {}, 2)
        archive.add("plain", random_masks(1))
    with MaskArchive.open(path, "a") as archive:
        assert archive.format_version == 2
        assert verify(archive, deep=True) == []


def test_tensors_are_replaced_removed_and_not_inherited(filled):
    with MaskArchive.open(filled, "a") as archive:
        stored = archive.set_tensors("t/3", {"x": np.arange(4, dtype=np.int16)})
        assert stored.tensors == (TensorInfo("x", (4,), "int16", 8),)
        assert equal(archive.get("t/3"), random_masks(3))
        assert archive.set_tensors("t/5", {}).tensors == ()
        archive.set_tensors("t/4", random_tensors(4))
        archive.remove("t/7")
        archive.add("t/7", random_masks(70))
        archive.update("t/9", {"other": 1})
        archive.set_shared_tensors("statistics", {"y": np.float32(2)})
        archive.set_shared_tensors("weights", {})
        before = archive.store.slot.generation
        archive.set_tensors("t/7", {})  # it has none
        assert archive.store.slot.generation == before
        with pytest.raises(maskstore.TaskNotFound):
            archive.set_tensors("none", {})
    for rewrite in (False, True):
        with MaskArchive.open(filled, "a") as archive:
            if rewrite:
                compact(archive)
            assert equal(archive.tensors("t/3"), {"x": np.arange(4, dtype=np.int16)})
            assert archive.tensors("t/5") == archive.tensors("t/7") == {}
            assert equal(archive.tensors("t/4"), random_tensors(4))
            assert equal(archive.tensors("t/9"), random_tensors(9))
            assert archive.task("t/9").metadata == {"other": 1}
            assert list(archive.shared) == ["statistics"]
            assert equal(archive.shared_tensors("statistics"), {"y": np.array(2, np.float32)})
            assert verify(archive, deep=True) == []


def test_a_rename_keeps_the_place_and_all_that_belongs_to_the_task(filled):
    with MaskArchive.open(filled, "a") as archive:
        before = archive.task("t/3")
        assert archive.rename("t/3", "three") == before._replace(name="three")
        assert archive.names()[:5] == ["t/0", "t/1", "t/2", "three", "t/4"]
        with pytest.raises(maskstore.TaskExists, match="'t/4' is there already"):
            archive.rename("three", "t/4")
        with pytest.raises(maskstore.TaskNotFound):
            archive.rename("t/3", "new")
        with pytest.raises(maskstore.InvalidName, match="control characters"):
            archive.rename("t/4", "a\nb")
        archive.add("t/3", random_masks(33))  # the old name is free
        with archive.transaction():  # two tasks change their names
            archive.rename("t/0", "aside")
            archive.rename("t/1", "t/0")
            archive.rename("aside", "t/1")
        archive.remove("three")
        archive.rename("t/3", "three")
    for rewrite in (False, True):
        with MaskArchive.open(filled, "a") as archive:
            if rewrite:
                compact(archive)
            assert archive.names()[:4] == ["t/1", "t/0", "t/2", "t/4"]
            assert archive.names()[-1] == "three"
            assert equal(archive.get("t/1"), random_masks(0))
            assert equal(archive.tensors("t/0"), random_tensors(1))
            assert equal(archive.get("three"), random_masks(33))
            assert verify(archive, deep=True) == []


def test_a_task_tells_its_classes(path):
    with MaskArchive.create(path, LAYOUT) as archive:
        for name, classes in [
            ("a", ["cat", "dog"]),
            ("b", 5),
            ("c", None),
            ("d", [1]),
            ("e", True),
        ]:
            archive.add(name, random_masks(0), {} if classes is None else {"classes": classes})
        archive.rename("a", "z")
        assert [task.classes for task in archive] == [("cat", "dog"), 5, None, None, None]


def test_a_transaction_of_everything_is_all_or_nothing(filled):
    before = filled.read_bytes()
    with MaskArchive.open(filled, "a") as archive:
        with pytest.raises(ZeroDivisionError), archive.transaction():
            archive.rename("t/0", "zero")
            archive.add("new", random_masks(1), tensors=random_tensors(1))
            archive.set_tensors("t/1", {})
            archive.set_shared_tensors("weights", {})
            assert archive.names()[0] == "zero"
            raise ZeroDivisionError
        assert archive.names()[0] == "t/0"
        assert "weights" in archive.shared
        assert equal(archive.tensors("t/1"), random_tensors(1))
    assert filled.read_bytes() == before


def test_stats_count_tensors(filled):
    with MaskArchive.open(filled) as archive:
        stats = archive_stats(archive)
        # The row of the index counts; a checksum of a tensor 37.
        payloads = {
            task.name: ROW_BYTES
            + len(task.name)
            + len(archive.tensor_entry(task.name).metadata)
            + sum(each.bytes + 37 for each in task.tensors)
            if task.tensors
            else 0
            for task in archive
        }
        shared = sum(
            ROW_BYTES
            + len(name)
            + len(archive.shared_entries[name].metadata)
            + sum(each.bytes + 37 for each in tensors)
            for name, tensors in archive.shared.items()
        )
        assert stats.tensor_bytes_per_task == sum(payloads.values()) / 20
        assert stats.shared_bytes == shared
        assert stats.bytes_per_task == filled.stat().st_size / 20
        rows = {row.name: row for row in task_stats(archive)}
    assert rows["t/3"].tensor_bytes == payloads["t/3"] > 0
    assert rows["t/2"].tensor_bytes == 0
    assert rows["t/3"].ratio_to_float32 == pytest.approx(
        4 * LAYOUT.bits / (rows["t/3"].coded_bytes + payloads["t/3"])
    )


def test_a_file_grows_by_what_stats_tells_of_tensors(tmp_path):
    path = tmp_path / "a.h5"
    rng = np.random.default_rng(0)
    with MaskArchive.create(path, {"w": (4, 16)}) as archive, archive.transaction():
        for at in range(300):
            archive.add(f"some/task/{at}", {"w": rng.random((4, 16)) < 0.5})
    with MaskArchive.open(path, "a") as archive:
        compact(archive)
    before = path.stat().st_size
    with MaskArchive.open(path, "a") as archive:
        with archive.transaction():
            for at in range(300):
                each = {"means": rng.integers(0, 255, (2, 40), dtype=np.uint8)}
                archive.set_tensors(f"some/task/{at}", each)
            archive.set_shared_tensors("all", {"sum": rng.integers(0, 1 << 16, 5_000)})
        compact(archive)
        stats = archive_stats(archive)
        rows = sum(row.tensor_bytes for row in task_stats(archive))
    told = 300 * stats.tensor_bytes_per_task + stats.shared_bytes
    assert rows + stats.shared_bytes == told
    # The rest is a few bytes where the version, the group of the extent and its room differ.
    assert path.stat().st_size - before == pytest.approx(told, rel=0.01)


# ------------------------------------------------------------------------- damage


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("at", ["checks", "values"])
def test_damaged_tensors_cost_one_task(filled, tmp_path, deep, at):
    with MaskArchive.open(filled) as archive:
        entry = archive.tensor_entry("t/7")
        values = 37 * len(archive.task("t/7").tensors)
    flip(filled, entry.offset + (0 if at == "checks" else values + 1))
    with MaskArchive.open(filled) as archive:
        damage = verify(archive, deep=deep)
        assert [each.task for each in damage] == ["t/7"]
        assert "task 't/7': tensor 'bn.weight' is damaged" in damage[0].cause
        with pytest.raises(maskstore.CorruptArchive, match="tensor 'bn.weight' is damaged"):
            archive.tensors("t/7")
        assert equal(archive.get("t/7"), random_masks(7))
        assert equal(archive.tensors("t/9"), random_tensors(9))
        lost = repair(archive, tmp_path / "out.h5")
    assert [each.task for each in lost] == ["t/7"]
    with MaskArchive.open(tmp_path / "out.h5") as repaired:
        # Not its mask alone: a task without its tensors would answer, and wrongly.
        assert repaired.names() == [f"t/{seed}" for seed in range(20) if seed != 7]
        assert equal(repaired.tensors("t/9"), random_tensors(9))
        assert equal(repaired.shared_tensors("statistics"), random_tensors(99))
        assert (verify(repaired, deep=True), repaired.format_version) == ([], 2)
    with MaskArchive.open(filled, "a") as archive:
        with pytest.raises(maskstore.CorruptArchive, match="tensor 'bn.weight' is damaged"):
            compact(archive)
        assert len(archive) == 20


def test_a_damaged_row_of_tensors_is_no_task_without_tensors(filled, tmp_path):
    with MaskArchive.open(filled) as archive:
        assert archive.store.extents[0].rows == 16
        rows = archive.store.read_rows(archive.store.extents[0])[0]
        at = rows["kind"].tolist().index(5)  # of t/1
        offset = archive.store.extents[0].index_offset + at * ROW_BYTES
    flip(filled, offset + 40)
    with MaskArchive.open(filled) as archive:
        assert archive.task("t/1").tensors == ()
        with pytest.raises(
            maskstore.CorruptArchive, match="'t/1' is damaged: the index row of its"
        ):
            archive.tensors("t/1")
        assert [each.task for each in verify(archive)] == [None, "t/1"]
        assert [each.task for each in repair(archive, tmp_path / "out.h5")] == [None, "t/1"]
        with pytest.raises(maskstore.CorruptArchive, match="index row of its tensors is lost"):
            merge([archive], tmp_path / "merged.h5")
    assert not (tmp_path / "merged.h5").exists()
    with MaskArchive.open(tmp_path / "out.h5") as repaired:
        assert "t/1" not in repaired


def test_damaged_shared_tensors(filled, tmp_path):
    with MaskArchive.open(filled) as archive:
        offset = archive.shared_entries["weights"].offset
    flip(filled, offset + 40)
    with MaskArchive.open(filled) as archive:
        (damage,) = verify(archive)
        assert (damage.task, "shared tensors 'weights': tensor 'fc.weight'" in damage.cause) == (
            None,
            True,
        )
        with pytest.raises(maskstore.CorruptArchive, match="shared tensors 'weights'"):
            archive.shared_tensors("weights")
        assert len(repair(archive, tmp_path / "out.h5")) == 1
    with MaskArchive.open(tmp_path / "out.h5") as repaired:
        assert (len(repaired), list(repaired.shared)) == (20, ["statistics"])


def test_every_flipped_byte_is_noticed_or_harmless(filled):
    data = filled.read_bytes()
    noticed = 0
    for offset in range(0, len(data), 41):
        filled.write_bytes(data[:offset] + bytes([data[offset] ^ 0x81]) + data[offset + 1 :])
        try:
            archive = MaskArchive.open(filled)
        except Exception as error:
            assert type(error).__module__ == "maskstore.errors", repr(error)
            noticed += 1
            continue
        with archive:
            damage = verify(archive)
            noticed += bool(damage)
            for seed in range(20):
                try:
                    found = archive.tensors(f"t/{seed}")
                except maskstore.ArchiveError:
                    assert damage
                else:
                    assert equal(found, random_tensors(seed) if seed % 2 else {})
    assert noticed > 20


def test_a_row_of_version_2_in_a_file_of_version_1_is_damage(path):
    """Forged: no release writes it, and one of version 1 would call it damage, too."""
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add_many((name, random_masks(0), {}) for name in "ab")
        row = archive.store.extents[0].index_offset
    data = bytearray(path.read_bytes())
    data[row + 23] = 4
    crc = zlib.crc32(b"a", zlib.crc32(data[row : row + ROW_CHECKED_BYTES]))
    struct.pack_into("<I", data, row + ROW_CHECKED_BYTES, crc)
    path.write_bytes(data)
    with MaskArchive.open(path) as archive:
        assert archive.names() == ["b"]
        assert "does not fit" in archive.damage[0].cause


# ------------------------------------------------------------------------- merge


def shard(path, name, shared, version=2):
    with MaskArchive.create(path, LAYOUT) as archive:
        for key, tensors in shared.items():
            archive.set_shared_tensors(key, tensors)
        tensors = random_tensors(3) if version == 2 else None
        archive.add(name, random_masks(3), tensors=tensors)
    return path


def test_merge_joins_tensors_and_versions(tmp_path):
    weights = {"b": BFloat16(np.ones(3, np.float32)), "a": np.arange(3, dtype=np.int8)}
    parts = [
        [
            ("1.h5", "x", {"w": weights}, 2),
            ("2.h5", "y", {"w": dict(reversed(weights.items()))}, 2),
        ],
        [("3.h5", "x", {}, 1), ("4.h5", "y", {}, 2)],
        [("5.h5", "x", {}, 1), ("6.h5", "y", {}, 1)],
    ]
    for number, shards in enumerate(parts):
        out = tmp_path / f"out{number}.h5"
        sources = [MaskArchive.open(shard(tmp_path / file, *rest)) for file, *rest in shards]
        assert merge(sources, out) == 2
        for source in sources:
            source.close()
        with MaskArchive.open(out) as merged:
            assert merged.names() == ["x", "y"]
            assert merged.format_version == max(version for *_, version in shards)
            assert verify(merged, deep=True) == []
            for _, name, shared, version in shards:
                assert equal(merged.tensors(name), random_tensors(3) if version == 2 else {})
                assert list(merged.shared) == list(shared)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"w": {"a": np.arange(3, dtype=np.int16)}},
        {"w": {"a": np.arange(4, dtype=np.int8)}},
        {"w": {"a": np.arange(3, dtype=np.int8)[::-1]}},
        {"w": {"b": np.arange(3, dtype=np.int8)}},
        {"w": {"a": np.arange(3, dtype=np.int8)}, "more": random_tensors(0)},
    ],
    ids=["none", "type", "shape", "values", "name", "another set"],
)
def test_merge_refuses_other_shared_tensors_in_one_line(tmp_path, other):
    first = shard(tmp_path / "1.h5", "x", {"w": {"a": np.arange(3, dtype=np.int8)}})
    second = shard(tmp_path / "2.h5", "y", other)
    with (
        MaskArchive.open(first) as a,
        MaskArchive.open(second) as b,
        pytest.raises(maskstore.LayoutMismatch, match="shared tensors '(w|more)' are not those of"),
    ):
        merge([a, b], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
