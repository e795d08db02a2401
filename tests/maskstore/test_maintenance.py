import pytest

import maskstore
from maskstore import MaskArchive
from maskstore._verify import verify
from maskstore.codecs.gaps import GapsCodec
from maskstore.maintenance import compact, gone_if_empty, merge, repair
from tests.maskstore.helpers import LAYOUT, equal, random_masks

SPARSE = maskstore.MaskLayout({"w": (2000,)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


def fill(path, names, layout=LAYOUT, density=0.5, **header):
    with MaskArchive.create(path, layout, **header) as archive:
        for seed, name in enumerate(names):
            archive.add(name, random_masks(seed, layout, density), {"seed": seed})
    return path


def test_compact_gives_back_what_removal_left(path):
    fill(path, [f"t/{i}" for i in range(60)])
    with MaskArchive.open(path) as reader, MaskArchive.open(path, "a") as archive:
        for number in range(0, 60, 2):
            archive.remove(f"t/{number}")
        before = path.stat().st_size
        saved = compact(archive)
        assert path.stat().st_size == before - saved < before
        assert archive.names() == [f"t/{i}" for i in range(1, 60, 2)]
        archive.add("after", random_masks(99))
        # A reader keeps the old file until it asks for the new one.
        assert equal(reader.get("t/0"), random_masks(0))
        assert reader.refresh()
        assert "t/0" not in reader
        assert equal(reader.get("after"), random_masks(99))
    with MaskArchive.open(path) as archive:
        assert all(equal(archive.get(f"t/{i}"), random_masks(i)) for i in range(1, 60, 2))
        assert archive.task("t/5").metadata == {"seed": 5}
        assert verify(archive, deep=True) == []
    assert [each.name for each in path.parent.iterdir()] == ["a.h5"]


def test_compact_with_a_codec_keeps_every_bit(path):
    with MaskArchive.create(path, SPARSE) as archive:
        for seed in range(9):
            archive.add(f"t/{seed}", random_masks(seed, SPARSE, 0.02), codec="raw")
        digests = {task.name: task.sha256 for task in archive}
        before = archive.file_bytes
        assert compact(archive, codec="zstd") > 0
        assert {task.codec for task in archive} == {"zstd"}
        assert {task.name: task.sha256 for task in archive} == digests
        assert archive.file_bytes < before
        assert all(equal(archive.get(f"t/{s}"), random_masks(s, SPARSE, 0.02)) for s in range(9))


def test_compact_keeps_the_old_file_where_a_codec_does_not_give_a_mask_back(path, monkeypatch):
    fill(path, ["a", "b"], SPARSE, 0.02)
    before = path.read_bytes()
    decode = GapsCodec.decode
    monkeypatch.setattr(GapsCodec, "decode", lambda *arguments: decode(*arguments) ^ 1)
    with (
        MaskArchive.open(path, "a") as archive,
        pytest.raises(maskstore.CorruptArchive, match="'gaps' does not give its mask back"),
    ):
        compact(archive, codec="gaps")
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["a.h5"]


def test_a_writer_that_waited_for_compact_gets_the_new_file(path):
    import threading

    fill(path, ["t/0", "t/1"])
    with MaskArchive.open(path, "a") as archive:
        got = []
        waiting = threading.Thread(target=lambda: got.append(MaskArchive.open(path, "a")))
        waiting.start()
        archive.remove("t/0")
        compact(archive)
    waiting.join()
    with got[0] as second:
        second.add("t/2", random_masks(2))
    with MaskArchive.open(path) as archive:
        assert archive.names() == ["t/1", "t/2"]


def test_compact_refuses_a_damaged_archive_and_leaves_it(path):
    fill(path, [f"t/{i}" for i in range(5)])
    with MaskArchive.open(path) as archive:
        offset = archive.entry("t/2").offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with MaskArchive.open(path, "a") as archive, pytest.raises(maskstore.CorruptArchive):
        compact(archive)
    assert path.read_bytes() == data
    out = path.with_name("repaired.h5")
    with MaskArchive.open(path) as archive:
        lost = repair(archive, out)
    assert [each.task for each in lost] == ["t/2"]
    with MaskArchive.open(out) as repaired:
        assert repaired.names() == ["t/0", "t/1", "t/3", "t/4"]
        assert all(equal(repaired.get(f"t/{i}"), random_masks(i)) for i in (0, 1, 3, 4))
        assert verify(repaired, deep=True) == []


def test_merge_joins_and_refuses(path, tmp_path):
    first = fill(tmp_path / "1.h5", ["a", "b"], backbone={"seed": 1})
    second = fill(tmp_path / "2.h5", ["c"], backbone={"seed": 1})
    other = fill(tmp_path / "3.h5", ["d"], backbone={"seed": 2})
    with MaskArchive.open(first) as a, MaskArchive.open(second) as b, MaskArchive.open(other) as c:
        assert merge([a, b], path) == 3
        with pytest.raises(maskstore.LayoutMismatch):
            merge([a, c], tmp_path / "new.h5")
        with pytest.raises(maskstore.TaskExists, match="'a' is in both"):
            merge([a, a], tmp_path / "new.h5")
        with pytest.raises(maskstore.ArchiveExists):
            merge([a, b], path)
        with pytest.raises(maskstore.InvalidInput):
            merge([], tmp_path / "new.h5")
    assert not (tmp_path / "new.h5").exists()
    with MaskArchive.open(path) as merged:
        assert merged.names() == ["a", "b", "c"]
        assert equal(merged.get("c"), random_masks(0))
        assert merged.backbone == {"seed": 1}


def test_codec_sizes_a_zstd_bomb_is_refused():
    import zstandard

    from maskstore.codecs import BY_NAME, Prior

    layout = maskstore.MaskLayout({"w": (1 << 30,)})
    bomb = zstandard.ZstdCompressor().compress(bytes(layout.packed_bytes))
    with pytest.raises(maskstore.CorruptArchive, match="declares"):
        BY_NAME["zstd"].decode(bomb, Prior(layout=layout))


@pytest.mark.parametrize(
    ("error", "tasks", "stays"),
    [(KeyError, 0, True), (ValueError, 0, False), (ValueError, 1, True), (None, 0, True)],
)
def test_a_new_archive_goes_with_the_failure_that_left_it_empty(path, error, tasks, stays):
    def work():
        with gone_if_empty(MaskArchive.create(path, LAYOUT), unless=(KeyError,)) as archive:
            for number in range(tasks):
                archive.add(f"t/{number}", random_masks(number))
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    assert path.exists() == stays


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_time_to_wait_that_is_none(path, timeout):
    fill(path, ["a"])
    with pytest.raises(maskstore.InvalidInput, match="timeout: expected seconds from 0"):
        MaskArchive.open(path, "a", timeout=timeout)
