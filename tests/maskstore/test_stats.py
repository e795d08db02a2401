import math

import pytest

from maskstore import MaskArchive, MaskLayout
from maskstore.layout import count_ones
from maskstore.seeded.scores import ScoreStart
from maskstore.stats import archive_stats, layer_stats, task_stats
from tests.maskstore.helpers import random_masks


def test_figures_against_the_file_on_disk(tmp_path):
    path = tmp_path / "a.h5"
    layout = MaskLayout({"w": (100, 100)})
    densities = [0.5] * 10 + [0.01] * 10
    with MaskArchive.create(path, layout, parameters=12_345, backbone={"net": "n"}) as archive:
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
    assert stats.dense_bytes == 20 * 4 * 12_345
    assert stats.score_checkpoint_bytes == 4 * 12_345 + 20 * 4 * 10_000
    bound = [
        -(k * math.log2(k / 10_000) + (10_000 - k) * math.log2(1 - k / 10_000)) / 8 for k in ones
    ]
    assert stats.entropy_bytes_per_task == pytest.approx(sum(bound) / 20)
    assert stats.by_codec["raw"] == {"tasks": 10, "bytes": 12_500}
    assert stats.by_codec["ans"]["tasks"] == 10


@pytest.mark.parametrize("backbone", [None, {"net": "n"}])
def test_without_a_recipe_of_the_weights_no_ratio_leaves_them_out(backbone, tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYERS, backbone=backbone) as archive:
        archive.add("t", random_masks(0, LAYERS, 0.1), codec="raw")
        stats, rows = archive_stats(archive), [*task_stats(archive), *layer_stats(archive)]
    ratios = [stats.ratio_to_dense]
    ratios += [ratio for row in rows for ratio in (row.ratio_to_float32, row.ratio_to_float16)]
    if backbone is None:
        assert ratios == [None] * len(ratios)
        assert "the weights must be kept elsewhere" in stats.note
    else:
        assert None not in ratios
        assert stats.note is None
    assert stats.dense_bytes_per_task == 4 * LAYERS.bits
    assert {row.coded_bytes for row in rows} != {None}


def test_an_empty_archive(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", MaskLayout({"w": (8,)})) as archive:
        stats = archive_stats(archive)
    assert (stats.tasks, stats.bytes_per_task, stats.bits_per_weight) == (0, None, None)


LAYERS = MaskLayout({"a": (40, 50), "b": (10, 30), "c": (7,)})


def entropy_bytes(ones: int, bits: int) -> float:
    p = ones / bits
    return 0.0 if p in (0, 1) else -bits * (p * math.log2(p) + (1 - p) * math.log2(1 - p)) / 8


def test_a_row_for_every_task(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYERS, parameters=5000, backbone={"net": "n"}) as archive:
        for number in range(3):
            archive.add(f"t/{number}", random_masks(number, LAYERS, 0.1), codec="ans")
        rows = list(task_stats(archive))
        tasks = list(archive)
    assert [row.name for row in rows] == ["t/0", "t/1", "t/2"]
    for row, task in zip(rows, tasks, strict=True):
        assert row.coded_bytes == task.bytes
        assert row.bits_per_weight == pytest.approx(8 * task.bytes / 2307)
        assert row.entropy_bytes == pytest.approx(entropy_bytes(task.ones, 2307))
        assert row.ratio_to_float32 == pytest.approx(20_000 / task.bytes)
        assert row.ratio_to_float16 == pytest.approx(10_000 / task.bytes)


@pytest.mark.parametrize("codec", ["raw", "ans", "seeded"])
def test_layers_share_out_the_code(codec, tmp_path):
    start = ScoreStart(seed=3)
    untrained = {name: scores >= 0 for name, scores in start.draw(LAYERS).items()}
    with MaskArchive.create(tmp_path / "a.h5", LAYERS) as archive:
        for number in range(2):
            masks = random_masks(number, LAYERS, 0.1)
            if codec == "seeded":  # a tenth of the bits flipped
                masks = {name: flip ^ untrained[name] for name, flip in masks.items()}
            archive.add(f"t/{number}", masks, {"scores": start.to_json()}, codec=codec)
        seen = []
        rows = layer_stats(archive, on_task=seen.append)
        stored = sum(task.bytes for task in archive)
        masks = [archive.get(task.name) for task in archive]
    assert seen == ["t/0", "t/1"]
    for row, name in zip(rows, LAYERS.shapes, strict=True):
        ones = [int(mask[name].sum()) for mask in masks]
        bits = masks[0][name].size
        assert (row.name, row.bits) == (name, 2 * bits)
        assert row.density == pytest.approx(sum(ones) / (2 * bits))
        assert row.entropy_bytes == pytest.approx(sum(entropy_bytes(n, bits) for n in ones))
        if codec == "ans":  # the last symbols of a code cost up to its 24 bits more
            assert row.coded_bytes == pytest.approx(row.entropy_bytes, rel=0.02, abs=2 * 3)
    coded = sum(row.coded_bytes for row in rows)
    headers = {"raw": 0, "ans": 2 * 12, "seeded": 2 * 12}[codec]
    assert stored - headers <= coded <= stored + 4


def test_layers_of_one_frame_have_no_bytes_of_their_own(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYERS) as archive:
        archive.add("t", random_masks(0, LAYERS, 0.1), codec="ans")
        archive.add("u", random_masks(1, LAYERS, 0.1), codec="zstd")
        rows = layer_stats(archive)
        ones = sum(count_ones(archive.get_packed(name)) for name in "tu")
    assert [row.coded_bytes for row in rows] == [None] * 3
    assert [row.ratio_to_float32 for row in rows] == [None] * 3
    assert sum(row.density * row.bits for row in rows) == pytest.approx(ones)


def test_details_of_an_empty_archive(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYERS) as archive:
        assert list(task_stats(archive)) == []
        assert [(row.name, row.coded_bytes) for row in layer_stats(archive)] == [
            ("a", 0.0),
            ("b", 0.0),
            ("c", 0.0),
        ]
