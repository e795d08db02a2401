import csv
import hashlib
import json

import h5py
import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.interchange import load_task, save_masks
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors


@pytest.fixture
def archive(tmp_path, run):
    """An archive by hand, of two tasks."""
    path = tmp_path / "masks.h5"
    save_masks(tmp_path / "a.npz", random_masks(1))
    save_masks(tmp_path / "b.safetensors", random_masks(2))
    assert run("create", path, "--like", tmp_path / "a.npz").code == 0
    assert run("add", path, "a", tmp_path / "a.npz", "--metadata", '{"lr": 0.1}').code == 0
    assert run("add", path, "b", tmp_path / "b.safetensors", "--codec", "zstd").code == 0
    return path


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_list(archive, run):
    listed = run("list", archive, "--json").json()
    assert set(listed) == {"tasks", "total_bytes"}
    assert listed["total_bytes"] == archive.stat().st_size
    assert [set(task) for task in listed["tasks"]] == [
        {"name", "index", "bits", "ones", "codec", "bytes", "sha256", "metadata", "tensors"}
    ] * 2
    first, second = listed["tasks"]
    assert (first["name"], first["index"], first["metadata"]) == ("a", 0, {"lr": 0.1})
    assert (second["name"], second["codec"]) == ("b", "zstd")
    assert first["ones"] == sum(int(mask.sum()) for mask in random_masks(1).values())
    assert "2 tasks" in run("list", archive).out


def test_show(archive, run):
    shown = run("show", archive, "--json").json()
    assert shown["layout"] == LAYOUT.to_json()
    assert (shown["tasks"], shown["bits"]) == (2, 75)
    assert run("show", archive, "a", "--json").json()["metadata"] == {"lr": 0.1}
    assert "layout" in run("show", archive).out


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_get(archive, run, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    assert run("get", archive, "b", "--out", out).code == 0
    assert equal(load_task(out, LAYOUT)[0], random_masks(2))
    before = out.read_bytes()
    again = run("get", archive, "a", "--out", out)
    assert (again.code, "there is a file already" in again.err) == (1, True)
    assert out.read_bytes() == before
    assert run("get", archive, "a", "--out", out, "--force", "--json").json()["out"] == str(out)
    assert equal(load_task(out, LAYOUT)[0], random_masks(1))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_tensors_come_in_and_go_out(archive, run, tmp_path, suffix):
    file, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    save_masks(file, random_masks(4), random_tensors(4))
    added = run("add", archive, "c", file, "--json").json()
    expected = [
        {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
        for name, array in random_tensors(4).items()
    ]
    stored = [each.pop("bytes") for each in added["tensors"]]
    # The format of the file may bring them in another order.
    assert sorted(added["tensors"], key=str) == sorted(expected, key=str)
    listed = run("list", archive, "--json").json()["tasks"]
    assert [each["bytes"] for each in listed[2]["tensors"]] == stored
    assert [task["tensors"] for task in listed[:2]] == [[], []]
    shown = run("show", archive, "c", "--json").json()
    assert shown["tensors"] == listed[2]["tensors"]
    assert run("show", archive, "--json").json()["format_version"] == 2
    assert run("get", archive, "c", "--out", out).code == 0
    masks, tensors = load_task(out, LAYOUT)
    assert equal(masks, random_masks(4))
    assert equal(tensors, random_tensors(4))
    stats = run("stats", archive, "--json").json()
    with MaskArchive.open(archive) as opened:  # the row of the index and its text count, too
        about = 68 + len("c") + len(opened.tensor_entry("c").metadata)
    assert stats["tensor_bytes_per_task"] * 3 == about + sum(stored) + 37 * len(stored)
    assert stats["shared_bytes"] == 0


def test_rename(archive, run):
    assert run("rename", archive, "a", "first", "--json").json()["index"] == 0
    assert [each["name"] for each in run("list", archive, "--json").json()["tasks"]] == [
        "first",
        "b",
    ]
    taken = run("rename", archive, "first", "b")
    assert (taken.code, "is there already" in taken.err) == (1, True)
    assert run("rename", archive, "a", "x").code == 1


def test_remove_and_compact(archive, run):
    assert run("remove", archive, "a", "--json").json() == {"removed": "a", "tasks": 1}
    before = archive.stat().st_size
    compacted = run("compact", archive, "--json").json()
    assert archive.stat().st_size == before - compacted["saved_bytes"]
    assert run("compact", archive, "--codec", "raw").code == 0
    assert [each["name"] for each in run("list", archive, "--json").json()["tasks"]] == ["b"]


def test_stats(archive, run, tmp_path):
    stats = run("stats", archive, "--json", "--plot", tmp_path / "bytes.png").json()
    assert set(stats) == {
        "tasks",
        "bits_per_mask",
        "file_bytes",
        "payload_bytes",
        "tensor_bytes_per_task",
        "shared_bytes",
        "bytes_per_task",
        "bits_per_weight",
        "bitpacked_bytes_per_task",
        "entropy_bytes_per_task",
        "dense_bytes_per_task",
        "ratio_to_dense",
        "ratio_without_weights",
        "weights_bytes",
        "note",
        "dense_bytes",
        "score_checkpoint_bytes",
        "by_codec",
    }
    assert stats["bytes_per_task"] * stats["tasks"] == pytest.approx(archive.stat().st_size)
    assert (tmp_path / "bytes.png").read_bytes().startswith(b"\x89PNG")
    assert "bits per weight" in run("stats", archive).out


def test_stats_by_task_and_layer(archive, run):
    stats = run("stats", archive, "--per-task", "--per-layer", "--json").json()
    with MaskArchive.open(archive) as opened:
        assert [row["name"] for row in stats["per_task"]] == opened.names()
        assert [row["name"] for row in stats["per_layer"]] == list(opened.layout.shapes)
    assert sum(row["coded_bytes"] for row in stats["per_task"]) == stats["payload_bytes"]
    shown = run("stats", archive, "--per-task", "--per-layer").out
    assert "per task" in shown
    assert "ratio to float16" in shown


def test_verify_and_repair(archive, run, tmp_path):
    assert run("verify", archive, "--deep", "--json").json() == {
        "tasks": 2,
        "deep": True,
        "damage": [],
    }
    with MaskArchive.open(archive) as opened:
        offset = opened.entry("a").offset
    data = bytearray(archive.read_bytes())
    data[offset] ^= 1
    archive.write_bytes(data)
    found = run("verify", archive, "--json")
    assert (found.code, [each["task"] for each in found.json()["damage"]]) == (1, ["a"])
    assert "damaged" in run("verify", archive).out
    out = tmp_path / "repaired.h5"
    repaired = run("repair", archive, "--out", out, "--json").json()
    assert ([each["task"] for each in repaired["lost"]], repaired["tasks"]) == (["a"], 1)
    assert run("verify", out, "--deep").code == 0


def test_merge(archive, run, tmp_path):
    other = tmp_path / "other.h5"
    run("create", other, "--like", tmp_path / "a.npz")
    run("add", other, "c", tmp_path / "b.safetensors")
    out = tmp_path / "merged.h5"
    assert run("merge", archive, other, "--out", out, "--json").json()["tasks"] == 3
    names = [task["name"] for task in run("list", out, "--json").json()["tasks"]]
    assert names == ["a", "b", "c"]


def mask_file(tmp_path, change):
    masks = random_masks(5)
    change(masks)
    np.savez(tmp_path / "bad.npz", **masks)
    return tmp_path / "bad.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update({"fc2.weight": np.ones(6, bool)}), "expected shape (5,), got (6,)"),
        (lambda m: m.update({"fc2.weight": np.ones(5)}), "expected dtype bool, got float64"),
        (lambda m: m.update({"fc3.weight": np.ones(5, bool)}), "unknown layer 'fc3.weight'"),
        (lambda m: m.pop("fc2.weight"), "'fc2.weight' is missing"),
    ],
)
def test_a_mask_that_does_not_fit(archive, run, tmp_path, change, message):
    before = digest(archive)
    result = run("add", archive, "new", mask_file(tmp_path, change))
    assert_one_line(result, message)
    assert digest(archive) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", "is there already"),
        ("", "empty name"),
        ("x" * 70_000, "at most 255 bytes"),
        ("bad\udcff", "not valid UTF-8"),
        ("bad\x1b[31m", "control characters"),
    ],
)
def test_a_name_that_cannot_be(archive, run, tmp_path, name, message):
    before = digest(archive)
    assert_one_line(run("add", archive, name, tmp_path / "a.npz"), message)
    assert digest(archive) == before


def test_other_bad_input(archive, run, tmp_path):
    before = digest(archive)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.zeros(1000)
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    a = tmp_path / "a.npz"
    for arguments, message in [
        (("list", tmp_path / "none.h5"), "no archive there"),
        (("list", tmp_path), "no archive there"),
        (("list", tmp_path / "text.h5"), "not an HDF5 file"),
        (("list", other), "not a mask archive"),
        (("get", archive, "none", "--out", tmp_path / "x.npz"), "no task 'none'"),
        (("get", archive, "a", "--out", tmp_path / "x.pt"), "ends in .npz or .safetensors"),
        (("get", archive, "a", "--out", tmp_path / "no" / "x.npz"), "cannot write"),
        (("remove", archive, "none"), "no task 'none'"),
        (("show", archive, "none"), "no task 'none'"),
        (("add", archive, "n", tmp_path / "none.npz"), "No such file"),
        (("add", archive, "n", tmp_path / "broken.npz"), "not a readable .npz"),
        (("add", archive, "n", a, "--codec", "lzma"), "codec 'lzma' is unknown"),
        (("add", archive, "n", a, "--metadata", "{"), "--metadata: not JSON"),
        (("add", archive, "n", a, "--metadata", "[1]"), "expected a JSON object"),
        (("add", archive, "n", a, "--metadata", '{"x": NaN}'), "must be JSON"),
        (("create", archive, "--like", a), "there is a file already"),
        (("create", tmp_path / "no" / "a.h5", "--like", a), "No such file"),
        (("create", a / "a.h5", "--like", a), "Not a directory"),
        (("stats", archive, "--plot", tmp_path / "x.xyz"), "cannot draw"),
        (("repair", archive, "--out", archive), "there is a file already"),
        (("merge", archive, archive, "--out", tmp_path / "m.h5"), "is in both"),
    ]:
        assert_one_line(run(*arguments), message)
    assert digest(archive) == before
    assert not (tmp_path / "m.h5").exists()


def assert_one_line(result, message):
    assert result.code == 1, result
    assert message in result.err
    assert result.err.startswith("error: ")
    assert len(result.err.splitlines()) == 1
    assert result.out == ""


def test_a_second_writer_is_told_who_holds_the_archive(archive, run, tmp_path):
    with MaskArchive.open(archive, "a"):
        result = run("add", archive, "n", tmp_path / "a.npz", "--timeout", "0.1")
        assert_one_line(result, "is writing to it")
        assert run("list", archive).code == 0


def test_wrong_usage_is_exit_code_2(run, tmp_path):
    assert run("list").code == 2
    assert run("nonsense").code == 2
    assert run("create", tmp_path / "x.h5", "--like", "a.npz", "--net", "bn-2048").code == 2
    assert not (tmp_path / "x.h5").exists()


def test_a_task_named_like_markup_is_printed_as_it_is(archive, run, tmp_path):
    assert run("add", archive, "[red]x[/red]", tmp_path / "a.npz").code == 0
    assert "[red]x[/red]" in run("list", archive).out


def test_json_is_the_only_thing_on_stdout(archive, run, tmp_path):
    out = tmp_path / "x.npz"
    for arguments in [
        ("add", archive, "c", tmp_path / "a.npz"),
        ("list", archive),
        ("show", archive),
        ("get", archive, "a", "--out", out),
        ("stats", archive),
        ("verify", archive),
        ("remove", archive, "c"),
        ("compact", archive),
    ]:
        result = run(*arguments, "--json")
        assert result.code == 0
        json.loads(result.out)


def test_a_folder_that_must_not_be_looked_into_is_one_line(archive, run, monkeypatch):
    # Root, as whom tests may run, is refused nothing: the system's answer is made here.
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.exists", refused)
    found = run("train", archive, "--dataset", "split-mnist-sample")
    assert (found.code, found.err) == (1, f"error: {archive}: Permission denied\n")


def test_csv_holds_no_formulas(run, tmp_path):
    """Names, metadata and their keys may be anybody's; numbers stay numbers."""
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, {"w": (2,)}) as archive:
        mask = {"w": np.ones(2, bool)}
        archive.add("=cmd|' /C calc'!A0", mask, {"=key": "@SUM(1)", "loss": -0.5, "note": "a=b"})
        archive.add("+1", mask, {"=key": "-1+1"})
    first, second = csv.DictReader(run("list", path, "--csv").out.splitlines())
    assert first["name"] == "'=cmd|' /C calc'!A0"
    assert (first["'=key"], first["loss"], first["note"]) == ("'@SUM(1)", "-0.5", "a=b")
    assert (second["name"], second["'=key"]) == ("'+1", "'-1+1")


def test_list_some_sorted_and_as_csv(archive, run, tmp_path):
    assert run("add", archive, "[x]", tmp_path / "a.npz", "--metadata", '{"x": {"y": 1}}').code == 0
    names = [task["name"] for task in run("list", archive, "?", "--json").json()["tasks"]]
    assert names == ["a", "b"]
    backwards = run("list", archive, "--sort", "name", "--reverse", "--json").json()["tasks"]
    assert [task["name"] for task in backwards] == ["b", "a", "[x]"]
    rows = list(csv.DictReader(run("list", archive, "--csv").out.splitlines()))
    assert [row["name"] for row in rows] == ["a", "b", "[x]"]
    assert [row["x.y"] for row in rows] == ["", "", "1"]
    assert_one_line(run("list", archive, "c*"), "no task of 3 is called 'c*' or matches it")
    assert_one_line(run("list", archive, "--sort", "nam"), "did you mean 'name'?")


def test_diff(archive, run):
    found = run("diff", archive, "a", "b", "--json").json()
    assert (found["first"], found["second"]) == ("a", "b")
    assert found["metadata"] == {"lr": [0.1, None]}
    assert [row["layer"] for row in found["layers"]] == list(LAYOUT.shapes)
    a, b = (LAYOUT.join(random_masks(seed)) for seed in (1, 2))
    assert found["total"]["hamming"] == int((a ^ b).sum())
    shown = run("diff", archive, "a", "b").out
    assert "a beside b" in shown
    assert "lr" in shown
    assert_one_line(run("diff", archive, "a", "bb"), "no task 'bb'")


def test_overlap(archive, run, tmp_path):
    plot = tmp_path / "overlap.svg"
    found = run("overlap", archive, "--per-layer", "--json", "--plot", plot).json()
    a, b = (LAYOUT.join(random_masks(seed)) for seed in (1, 2))
    assert found["both"][0][1] == int((a & b).sum())
    assert found["jaccard"][0][1] == pytest.approx((a & b).sum() / (a | b).sum())
    assert [each["layer"] for each in found["layers"]] == list(LAYOUT.shapes)
    assert plot.read_text().startswith("<?xml")
    rows = list(csv.reader(run("overlap", archive, "--per-layer", "--csv").out.splitlines()))
    assert rows[0] == ["layer", "task", "a", "b"]
    assert [row[:2] for row in rows[1:3]] == [["all", "a"], ["all", "b"]]
    assert len(rows) == 1 + 2 * 3
    assert run("overlap", archive, "--task", "a", "--json").json()["tasks"] == ["a"]
    assert "1.00" in run("overlap", archive).out
    for index in range(8):
        run("add", archive, f"t/{index}", tmp_path / "a.npz")
    assert "shares most with" in run("overlap", archive).out


def test_copy(archive, run, tmp_path):
    other = tmp_path / "other.h5"
    run("create", other, "--like", tmp_path / "a.npz")
    before = digest(archive)
    assert run("copy", archive, "a", other, "--json").json() == {
        "copied": ["a"],
        "out": str(other),
        "tasks": 1,
    }
    assert run("show", other, "a", "--json").json()["metadata"] == {"lr": 0.1}
    assert_one_line(run("copy", archive, "*", other), "task 'a' is there already")
    assert_one_line(run("copy", archive, "b", tmp_path / "none.h5"), "no archive there")
    assert f"copied 1 task; {other} has 2 tasks" in run("copy", archive, "b", other).out
    assert digest(archive) == before
