import math

import pytest

from maskstore import MaskArchive, MaskLayout
from maskstore.stats import archive_stats
from tests.maskstore.helpers import random_masks


def test_figures_against_the_file_on_disk(tmp_path):
    path = tmp_path / "a.h5"
    layout = MaskLayout({"w": (100, 100)})
    densities = [0.5] * 10 + [0.01] * 10
    with MaskArchive.create(path, layout, parameters=12_345) as archive:
        for number, density in enumerate(densities):
            archive.add(f"t/{number}", random_masks(number, layout, density))
    with MaskArchive.open(path) as archive:
        stats = archive_stats(archive)
        ones = [task.ones for task in archive]
        payload = sum(task.bytes for task in archive)
    size = path.stat().st_size
    assert stats.file_bytes == size
    assert stats.bytes_per_task == pytest.approx(size / 20)
    assert stats.bits_per_weight == pytest.approx(8 * size / 20 / 10_000)
    assert stats.payload_bytes == payload
    assert stats.bitpacked_bytes_per_task == 1250
    assert stats.dense_bytes_per_task == 4 * 12_345
    assert stats.ratio_to_dense == pytest.approx(4 * 12_345 * 20 / size)
    bound = [
        -(k * math.log2(k / 10_000) + (10_000 - k) * math.log2(1 - k / 10_000)) / 8 for k in ones
    ]
    assert stats.entropy_bytes_per_task == pytest.approx(sum(bound) / 20)
    assert stats.by_codec["raw"] == {"tasks": 10, "bytes": 12_500}
    assert stats.by_codec["ans"]["tasks"] == 10


def test_an_empty_archive(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", MaskLayout({"w": (8,)})) as archive:
        stats = archive_stats(archive)
    assert (stats.tasks, stats.bytes_per_task, stats.bits_per_weight) == (0, None, None)
