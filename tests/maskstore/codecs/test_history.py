"""Archives whose tasks are coded against each other: two payloads a mask, nothing lost."""

import shutil

import numpy as np
import pytest

from maskstore import CorruptArchive, MaskArchive, MaskLayout
from maskstore._verify import verify
from maskstore.codecs import PRESETS
from maskstore.maintenance import compact, copy_tasks, merge, repair
from maskstore.stats import layer_stats
from tests.maskstore.codecs.helpers import RECIPE, START, almost, packed_mask, trained_masks

LAYOUT = MaskLayout({"fc1.weight": (60, 50), "fc2.weight": (10, 60)})
METADATA = {"scores": START.to_json()}
FAMILIES, TASKS = 3, 12


def mask_of(k: int) -> np.ndarray:
    """Four tasks each of three families that are alike, one family after another."""
    family = LAYOUT.pack(trained_masks(LAYOUT, seed=k // 4))
    return almost(family, LAYOUT, 0.01, seed=k)


@pytest.fixture(scope="module")
def compacted(tmp_path_factory):
    path = tmp_path_factory.mktemp("history") / "a.h5"
    with MaskArchive.create(path, LAYOUT, backbone=RECIPE) as archive:
        archive.add_many((f"t/{k}", LAYOUT.unpack(mask_of(k)), METADATA) for k in range(TASKS))
        before = archive.file_bytes
        assert compact(archive, codec="history") > 0.2 * before
    return path


@pytest.fixture
def path(compacted, tmp_path):
    return shutil.copy(compacted, tmp_path / "a.h5")


def same(archive: MaskArchive, tasks) -> bool:
    return all(np.array_equal(archive.get_packed(f"t/{k}"), mask_of(k)) for k in tasks)


def references(archive: MaskArchive) -> list[str]:
    return [task.name for task in archive if task.codec == "seeded"]


def break_payload(path, name: str) -> None:
    with MaskArchive.open(path) as archive:
        offset = archive.entry(name).offset
    content = bytearray(path.read_bytes())
    content[offset + 20] ^= 1
    path.write_bytes(content)


def test_one_task_of_each_family_stands_for_itself(path):
    with MaskArchive.open(path) as archive:
        assert [task.codec for task in archive].count("history") == TASKS - FAMILIES
        assert [int(name[2:]) // 4 for name in references(archive)] == [0, 1, 2]
        assert same(archive, range(TASKS))
        assert np.array_equal(archive.packed().bits, [mask_of(k) for k in range(TASKS)])
        assert verify(archive, deep=True) == []
        payloads = sum(task.bytes for task in archive)
        coded = sum(row.coded_bytes for row in layer_stats(archive))
        assert 0.8 * payloads < coded < payloads


def test_a_mask_is_at_most_two_payloads_away(path, monkeypatch):
    with MaskArchive.open(path) as archive:
        heap = [archive.entry(f"t/{k}").offset for k in range(TASKS)]
        read, reads = type(archive.store.device).read, []

        def watched(device, offset, size):
            reads.append(offset)
            return read(device, offset, size)

        monkeypatch.setattr(type(archive.store.device), "read", watched)
        for k in range(TASKS):
            reads.clear()
            archive.get(f"t/{k}")
            assert len(reads) <= 2
            assert set(reads) <= set(heap)


def test_a_removed_reference_serves_on_and_goes_with_compact(path):
    with MaskArchive.open(path, "a") as archive:
        for name in references(archive):
            archive.remove(name)
        left = [int(name[2:]) for name in archive.names()]
        assert len(left) == TASKS - FAMILIES
        assert same(archive, left)
        assert verify(archive, deep=True) == []
    with MaskArchive.open(path, "a") as archive:
        assert same(archive, left)
        compact(archive)
        assert references(archive) == archive.names()  # there is nothing left to refer to
        assert same(archive, left)
        compact(archive, codec="history")
        assert len(references(archive)) == FAMILIES
        assert same(archive, left)


def test_the_same_mask_twice(tmp_path):
    """The copy refers to the first; it does not stand for itself once the first is gone."""
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT, backbone=RECIPE) as archive:
        archive.add_many((f"t/{k}", LAYOUT.unpack(mask_of(k // 2)), METADATA) for k in range(4))
        compact(archive, codec="history")
        first = references(archive)[0]
        assert [task.codec for task in archive].count("history") == 3
        archive.remove(first)
        compact(archive)
        assert verify(archive, deep=True) == []
        for name in archive.names():
            assert np.array_equal(archive.get_packed(name), mask_of(int(name[2:]) // 2))


def test_whole_archives_are_rewritten_as_they_are(path, tmp_path):
    with MaskArchive.open(path, "a") as archive:
        codecs = [task.codec for task in archive]
        compact(archive)
        assert [task.codec for task in archive] == codecs
        stored = [archive.stored_bytes(name) for name in archive.names()]
        compact(archive, codec="history")  # again: nothing to gain
        assert [archive.stored_bytes(name) for name in archive.names()] == stored
        with MaskArchive.create(tmp_path / "b.h5", LAYOUT, backbone=RECIPE) as other:
            other.add("other", LAYOUT.unpack(mask_of(20)), METADATA)
            merge([other, archive], tmp_path / "merged.h5")
        assert repair(archive, tmp_path / "repaired.h5") == []
    for name in ("merged.h5", "repaired.h5"):
        with MaskArchive.open(tmp_path / name) as archive:
            assert [task.codec for task in archive][-TASKS:] == codecs
            assert same(archive, range(TASKS))


def test_any_other_codec_sets_the_tasks_free(path):
    with MaskArchive.open(path, "a") as archive:
        compact(archive, codec="auto")
        assert len(references(archive)) == TASKS
        assert same(archive, range(TASKS))


@pytest.mark.parametrize("removed", [False, True])
def test_damage_of_a_reference_is_named_and_stays_in_its_family(path, removed, tmp_path):
    with MaskArchive.open(path, "a") as archive:
        broken = references(archive)[1]
    break_payload(path, broken)
    if removed:
        with MaskArchive.open(path, "a") as archive:
            archive.remove(broken)
    lost = {f"t/{k}" for k in range(4, 8)} - ({broken} if removed else set())
    with MaskArchive.open(path) as archive:
        for deep in (False, True):
            assert {each.task for each in verify(archive, deep=deep)} == lost
        dependent = min(lost - {broken})
        what = "removed task" if removed else "task"
        message = f"task '{dependent}' is damaged: .*the {what} '{broken}', which is damaged"
        with pytest.raises(CorruptArchive, match=message):
            archive.get(dependent)
        others = [*range(4), *range(8, 12)]
        assert same(archive, others)
        assert {each.task for each in repair(archive, tmp_path / "repaired.h5")} == lost
    with MaskArchive.open(tmp_path / "repaired.h5") as archive:
        assert len(archive) == len(others)
        assert same(archive, others)


@pytest.mark.parametrize("broken", ["copy", "reference", "both"])
def test_a_sound_copy_of_a_reference_will_do(path, broken):
    with MaskArchive.open(path, "a") as archive:
        reference = references(archive)[0]
        archive.add("copy", archive.get(reference), METADATA)
    names = {"copy": ["copy"], "reference": [reference], "both": ["copy", reference]}[broken]
    for name in names:
        break_payload(path, name)
    lost = set(names) | ({f"t/{k}" for k in range(4)} if broken == "both" else set())
    with MaskArchive.open(path) as archive:
        assert {each.task for each in verify(archive)} == lost
        assert {each.task for each in verify(archive, deep=True)} == lost
        assert same(archive, [k for k in range(TASKS) if f"t/{k}" not in lost])


def test_verify_looks_at_the_file_not_at_what_was_read_before(path):
    with MaskArchive.open(path) as archive:
        archive.packed()
        broken = references(archive)[0]
        break_payload(path, broken)
        assert {each.task for each in verify(archive, deep=True)} == {f"t/{k}" for k in range(4)}


def test_compact_that_would_lose_a_reference_leaves_the_file(path):
    with MaskArchive.open(path, "a") as archive:
        broken = references(archive)[0]
        archive.remove(broken)
        ((_, entry),) = archive._now.index.find(bytes.fromhex(_digest(broken)))
    content = bytearray(path.read_bytes())
    content[entry.offset + 20] ^= 1
    path.write_bytes(content)
    with MaskArchive.open(path, "a") as archive, pytest.raises(CorruptArchive, match="damaged"):
        compact(archive)
    assert path.read_bytes() == content


def _digest(name: str) -> str:
    from maskstore.layout import sha256_of_bits

    return sha256_of_bits(mask_of(int(name[2:])))[:8].hex()


def test_tasks_that_refer_to_each_other_are_refused(path):
    """A forged archive: the references' payloads say that they need their dependents."""
    with MaskArchive.open(path, "a") as archive:
        first = references(archive)[0]
        dependent = next(task.name for task in archive if task.codec == "history")
        stored = archive.stored_bytes(dependent)
        index = archive._now.index
        here, there = index.lookup([dependent, first])
        forged = here.entry._replace(sha256=there.entry.sha256)
        index._tasks[index._places[first]] = first, forged
        index._by_digest = None
        assert archive.stored_bytes(first) == stored
        with pytest.raises(CorruptArchive, match="no such mask that stands for itself"):
            archive.get(first)


def test_adding_knows_no_reference(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT, backbone=RECIPE) as archive:
        for k in range(2):
            archive.add(f"t/{k}", LAYOUT.unpack(mask_of(k)), METADATA, codec="history")
        archive.add("noise", LAYOUT.unpack(packed_mask(LAYOUT, 0.5)), codec="history")
        assert [task.codec for task in archive] == ["seeded", "seeded", "raw"]
    assert {codec.name for codec in PRESETS["history"]} > {codec.name for codec in PRESETS["auto"]}


def test_a_mask_is_copied_without_the_one_it_is_coded_against(path, tmp_path):
    with (
        MaskArchive.open(path) as archive,
        MaskArchive.create(tmp_path / "b.h5", LAYOUT, backbone=RECIPE) as other,
    ):
        coded = [task.name for task in archive if task.codec == "history"]
        copy_tasks(archive, coded[:1], other)
        assert np.array_equal(other.get_packed(coded[0]), archive.get_packed(coded[0]))
        assert other.task(coded[0]).codec != "history"
    with MaskArchive.open(tmp_path / "b.h5") as other:
        assert not verify(other, deep=True)
