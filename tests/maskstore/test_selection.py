"""Some tasks of an archive, as an archive: whatever reads one reads them, and nothing changes."""

import numpy as np
import pytest

from maskstore import ArchiveClosed, MaskArchive, TaskNotFound
from maskstore._verify import verify
from maskstore.maintenance import compact, merge
from maskstore.selection import SelectedArchive, select_from
from maskstore.stats import archive_stats, layer_stats, task_stats
from tests.maskstore.helpers import LAYOUT, equal, random_masks

NAMES = [f"t/{index}" for index in range(6)]


@pytest.fixture
def archive(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT, backbone={"net": "x", "outputs": 2}) as made:
        for index, name in enumerate(NAMES):
            tensors = {"head": np.arange(50, dtype=np.float32)} if index == 1 else None
            made.add(name, random_masks(index // 2), {"index": index}, tensors=tensors)
        yield made


def test_it_reads_like_an_archive_of_these_tasks(archive):
    some = SelectedArchive(archive, ["t/4", "t/1"])
    assert some.names() == [task.name for task in some] == list(some.tasks) == ["t/4", "t/1"]
    assert len(some) == 2
    assert "t/0" not in some
    with pytest.raises(TaskNotFound):
        some["t/0"]
    for name in ("t/4", "t/1"):
        assert equal(some[name], archive[name])
        assert some.task(name).metadata == archive.task(name).metadata
    assert some.tensors("t/1")["head"].tolist() == list(range(50))
    assert np.array_equal(some.packed().bits, archive.packed(["t/4", "t/1"]).bits)
    assert not verify(some, deep=True)
    assert [row.name for row in task_stats(some)] == ["t/4", "t/1"]
    assert layer_stats(some)[0].bits == 2 * 70
    assert "2 tasks" in repr(some)


def test_a_mask_that_is_coded_against_one_that_is_left_out(archive):
    compact(archive, codec="history")
    for name in NAMES:
        assert equal(SelectedArchive(archive, [name])[name], archive[name])


def test_the_shares_of_all_are_the_file(archive):
    shares = [SelectedArchive(archive, [name]).file_bytes for name in NAMES]
    assert sum(shares) == pytest.approx(archive.file_bytes, abs=len(NAMES))
    assert shares[1] > shares[0]  # with its tensors
    assert SelectedArchive(archive, NAMES).file_bytes == archive.file_bytes
    assert archive_stats(SelectedArchive(archive, NAMES)) == archive_stats(archive)
    some = archive_stats(SelectedArchive(archive, NAMES[2:4]))
    assert (some.tasks, some.bytes_per_task) == (2, sum(shares[2:4]) / 2)


def test_it_is_only_read_and_leaves_the_whole_open(archive, tmp_path):
    before = (tmp_path / "a.h5").read_bytes()
    with SelectedArchive(archive, ["t/0"]) as some:
        for change in (
            lambda: some.add("new", random_masks(9)),
            lambda: some.remove("t/0"),
            lambda: some.rename("t/0", "new"),
            lambda: some.update("t/0", {}),
        ):
            with pytest.raises(ArchiveClosed, match="some of its tasks are open, to read"):
                change()
        assert not some.refresh()
    assert some.closed
    assert not archive.closed
    assert (tmp_path / "a.h5").read_bytes() == before


def test_select_from(archive, tmp_path):
    assert select_from(archive, None) is archive
    assert select_from(archive, "t/[0-2]").names() == NAMES[:3]
    with pytest.raises(TaskNotFound, match="did you mean 't/0'"):
        select_from(archive, "T/0")
    with pytest.raises(TaskNotFound, match="no task 'none'"):
        SelectedArchive(archive, ["none"])
    merge([select_from(archive, "t/1")], tmp_path / "one.h5")
    with MaskArchive.open(tmp_path / "one.h5") as one:
        assert one.names() == ["t/1"]
        assert equal(one["t/1"], archive["t/1"])
