"""Questions about stored masks, each against numpy on the boolean arrays."""

import sys

import numpy as np
import pytest

from maskstore import (
    InvalidInput,
    LayoutMismatch,
    MaskArchive,
    TaskExists,
    TaskNotFound,
)
from maskstore.maintenance import copy_tasks
from maskstore.queries import diff_tasks, overlap_of, select
from maskstore.task_table import flat_rows, sort_tasks
from tests.maskstore.helpers import LAYOUT, equal, random_masks

NAMES = ("split/0", "split/1", "rotated/0", "[x]", "split/10")
DENSITIES = (0.5, 0.1, 0.9, 0.5, 0.3)


@pytest.fixture
def archive(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as made:
        for seed, (name, density) in enumerate(zip(NAMES, DENSITIES, strict=True)):
            metadata = {"metrics": {"accuracy": 1 - seed / 10}, "seed": seed, "list": [seed]}
            tensors = {"head": np.full(3, seed, np.float32)} if seed < 2 else None
            kept = {} if seed == 3 else metadata
            made.add(name, random_masks(seed, density=density), kept, tensors=tensors)
        yield made


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (None, NAMES),
        ("split/*", ("split/0", "split/1", "split/10")),
        ("split/?", ("split/0", "split/1")),
        ("*/0", ("split/0", "rotated/0")),
        ("[x]", ("[x]",)),  # a name first, then a pattern
        ("s[a-z]*/1", ("split/1",)),
    ],
)
def test_select(archive, pattern, names):
    assert tuple(select(archive, pattern)) == names


def test_a_pattern_that_matches_nothing(archive):
    with pytest.raises(
        TaskNotFound, match="no task of 5 is called 'Split/0' or matches it; did you"
    ):
        select(archive, "Split/0")


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("index", (0, 1, 2, 3, 4)),
        ("name", (3, 2, 0, 1, 4)),
        ("density", (1, 4, 3, 0, 2)),
        ("accuracy", (4, 2, 1, 0, 3)),
    ],
)
def test_sort(archive, key, order):
    assert [task.index for task in sort_tasks(archive, key)] == list(order)
    backwards = [task.index for task in sort_tasks(archive, key, reverse=True)]
    unknown = [3] if key == "accuracy" else []
    assert backwards == [at for at in reversed(order) if at not in unknown] + unknown


def test_sort_by_what_is_no_key(archive):
    with pytest.raises(InvalidInput, match="sort: expected one of .* did you mean 'bytes'"):
        sort_tasks(archive, "byte")


def test_diff_counts_what_numpy_counts(archive):
    found = diff_tasks(archive, "split/0", "rotated/0")
    first, second = archive["split/0"], archive["rotated/0"]
    for row in found.layers:
        a, b = first[row.layer], second[row.layer]
        assert (row.bits, row.first, row.second) == (a.size, a.sum(), b.sum())
        assert (row.both, row.hamming) == ((a & b).sum(), (a ^ b).sum())
        assert row.jaccard == pytest.approx((a & b).sum() / (a | b).sum())
    assert [row.layer for row in found.layers] == list(LAYOUT.shapes)
    assert found.total.hamming == sum(row.hamming for row in found.layers)
    assert found.total.bits == LAYOUT.bits
    assert found.metadata == {
        "metrics.accuracy": (1.0, 0.8),
        "seed": (0, 2),
        "list": ([0], [2]),
    }
    assert found.tensors == ("head",)
    assert diff_tasks(archive, "split/0", "split/1").tensors == ("head",)
    same = diff_tasks(archive, "split/0", "split/0")
    assert (same.total.hamming, same.total.jaccard, same.metadata, same.tensors) == (0, 1, {}, ())


@pytest.mark.parametrize("layer", [None, *LAYOUT.shapes])
def test_overlap_counts_what_numpy_counts(archive, layer):
    found = overlap_of(archive, layer=layer)
    masks = [archive[name] for name in NAMES]
    flat = [LAYOUT.join(mask) if layer is None else mask[layer].ravel() for mask in masks]
    both = np.array([[(a & b).sum() for b in flat] for a in flat])
    either = np.array([[(a | b).sum() for b in flat] for a in flat])
    assert np.array_equal(found.both, both)
    assert np.allclose(found.jaccard, np.where(either > 0, both / np.maximum(either, 1), 1.0))
    shares = found.jaccard - 2 * np.eye(len(NAMES))
    assert [name for _, name, _ in found.nearest()] == [NAMES[at] for at in shares.argmax(1)]


def test_overlap_of_some_of_one_and_of_none(archive, tmp_path):
    assert overlap_of(archive, ["[x]", "split/1"]).names == ("[x]", "split/1")
    assert overlap_of(archive, ["[x]"]).nearest() == [("[x]", None, None)]
    with pytest.raises(InvalidInput, match="layer: expected one of fc1.weight, .*did you mean"):
        overlap_of(archive, layer="fc1.weigth")
    with MaskArchive.create(tmp_path / "empty.h5", LAYOUT) as empty:
        with pytest.raises(InvalidInput, match="no masks to compare"):
            overlap_of(empty)
        empty.add("none", {name: np.zeros(shape, bool) for name, shape in LAYOUT.shapes.items()})
        assert overlap_of(empty).jaccard.tolist() == [[1.0]]


def test_flat_rows_are_a_table(archive):
    columns, rows = flat_rows(archive)
    assert {"name", "density", "bytes", "tensor_bytes", "metrics.accuracy", "seed"} <= set(columns)
    assert not {"metadata", "tensors", "list"} & set(columns)
    assert [len(row) for row in rows] == [len(columns)] * 5
    by_name = {row[columns.index("name")]: dict(zip(columns, row, strict=True)) for row in rows}
    assert by_name["split/1"]["metrics.accuracy"] == 0.9
    assert by_name["[x]"]["metrics.accuracy"] is None
    assert by_name["split/1"]["tensor_bytes"] > 0 == by_name["[x]"]["tensor_bytes"]


def test_copy_takes_mask_metadata_and_tensors_along(archive, tmp_path):
    with MaskArchive.create(
        tmp_path / "b.h5", LAYOUT, metadata_example={"metrics": {"accuracy": 0.5}}
    ) as other:
        other.add("there", random_masks(9))
        copy_tasks(archive, ["split/1", "rotated/0"], other)
        assert other.names() == ["there", "split/1", "rotated/0"]
        before = (tmp_path / "b.h5").read_bytes()
        with pytest.raises(TaskExists, match="'split/1' is there already"):
            copy_tasks(archive, ["split/0", "split/1"], other)
        with pytest.raises(TaskNotFound):
            copy_tasks(archive, ["split/0", "none"], other)
        assert (tmp_path / "b.h5").read_bytes() == before
    with MaskArchive.open(tmp_path / "b.h5") as read:
        for name in ("split/1", "rotated/0"):
            assert equal(read[name], archive[name])
            assert read.task(name).metadata == archive.task(name).metadata
            assert read.tensors(name).keys() == archive.tensors(name).keys()
        assert read.tensors("split/1")["head"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "difference",
    [{"layout": {"fc": (3,)}}, {"backbone": {"net": "x"}}, {"weights_digest": "0" * 64}],
    ids=lambda each: next(iter(each)),
)
def test_copy_into_an_archive_of_another_network(archive, tmp_path, difference):
    header = {"layout": LAYOUT, **difference}
    with MaskArchive.create(tmp_path / "b.h5", **header) as other:
        with pytest.raises(LayoutMismatch, match="made for another network"):
            copy_tasks(archive, ["split/0"], other)
        assert len(other) == 0


def test_an_archive_is_used_like_a_dict_of_masks(archive):
    assert equal(archive["split/1"], archive.get("split/1"))
    assert list(archive.keys()) == list(archive.tasks) == list(NAMES)
    assert "split/1" in archive
    assert "split" not in archive.tasks
    assert 7 not in archive.tasks
    assert archive.tasks["[x]"] == archive.task("[x]")
    assert archive.tasks.get("none") is None
    assert len(archive.tasks) == 5
    assert [task.name for task in archive.tasks.values()] == list(NAMES)
    with pytest.raises(KeyError, match="no task 'split/11' .*; did you mean 'split/1.?'"):
        archive["split/11"]
    with pytest.raises(TaskNotFound):
        archive.tasks["none"]


def test_repr_is_short_and_says_what_is_there(archive, tmp_path):
    assert repr(archive) == (
        f"<MaskArchive {str(tmp_path / 'a.h5')!r}: 5 tasks, masks of 75 bits in 2 layers, "
        f"{archive.file_bytes:,} bytes>"
    )
    assert repr(archive.tasks) == "<5 tasks: 'split/0', 'split/1', 'rotated/0', '[x]', 'split/10'>"
    html = archive._repr_html_()
    assert html.startswith("<p>&lt;MaskArchive")
    assert html.count("<tr>") == 6
    archive.add("<script>", random_masks(7))
    assert "1 more" in archive._repr_html_()
    archive.close()
    assert repr(archive) == f"<MaskArchive {str(tmp_path / 'a.h5')!r}, closed>"
    assert archive._repr_html_().count("<tr>") == 0


def test_html_shows_the_names_of_others(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        archive.add("<script>alert(1)</script>", random_masks(0))
        assert "<script>" not in archive._repr_html_()
        assert "&lt;script&gt;" in archive._repr_html_()


def test_to_dataframe(archive, monkeypatch):
    class Pandas:
        @staticmethod
        def DataFrame(rows, columns):
            return columns, rows

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    assert archive.to_dataframe() == flat_rows(archive)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InvalidInput, match="needs pandas, which is not installed"):
        archive.to_dataframe()
