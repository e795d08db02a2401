import fsspec
import pytest

from maskstore import ArchiveNotFound, CorruptArchive, InvalidInput, MaskArchive, MaskLayout
from maskstore._verify import verify
from tests.maskstore.helpers import equal, random_masks

LAYOUT = MaskLayout({"w": (80_000,)})


@pytest.fixture
def url(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT) as archive:
        for seed in range(30):
            archive.add(f"t/{seed}", random_masks(seed, LAYOUT))
    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/a.h5", path.read_bytes())
    yield "memory://bucket/a.h5"
    files.rm("/bucket", recursive=True)


def test_one_task_costs_one_ranged_read(url, monkeypatch):
    files = fsspec.filesystem("memory")
    ranges = []
    real = type(files).cat_file

    def cat_file(self, path, start=None, end=None, **more):
        ranges.append(end - start)
        return real(self, path, start=start, end=end, **more)

    monkeypatch.setattr(type(files), "cat_file", cat_file)
    with MaskArchive.open(url) as archive:
        assert len(archive) == 30
        opened = sum(ranges)
        assert opened < 20_000 < archive.file_bytes / 10
        ranges.clear()
        assert equal(archive.get("t/7"), random_masks(7, LAYOUT))
        assert ranges == [10_000]
        assert verify(archive, deep=True) == []


def test_errors(url):
    with pytest.raises(InvalidInput, match="only be read"):
        MaskArchive.open(url, "a")
    with pytest.raises(ArchiveNotFound):
        MaskArchive.open("memory://bucket/none.h5")
    with pytest.raises(InvalidInput, match="cannot read such URLs"):
        MaskArchive.open("nonsense://bucket/a.h5")
    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/cut.h5", files.cat_file("/bucket/a.h5")[:50_000])
    with pytest.raises(CorruptArchive, match="outside the file"):
        MaskArchive.open("memory://bucket/cut.h5")
