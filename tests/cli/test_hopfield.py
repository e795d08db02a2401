"""encode, recover and compare on a short training."""

import json
import shutil

import numpy as np
import pytest

from hopfield import load_memory, pattern_of, save_memory
from maskstore import MaskArchive
from supsup.datasets import load
from supsup.tasks import make_task, task_family

TRAIN = ("--dataset", "split-mnist-sample", "--net", "bn-2048", "--outputs", "10", "--steps", "20")
OF = ("--dataset", "split-mnist-sample", "--task")


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """An archive of three tasks."""
    import sys

    from supsup_store.main import main

    path = tmp_path_factory.mktemp("hopfield") / "a.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["supsup-store", "train", str(path), *TRAIN, "--tasks", "3", "--quiet"]
        )
        with pytest.raises(SystemExit, match="0"):
            main()
    return path


@pytest.fixture(scope="module")
def memory(masks):
    """All three in one memory."""
    from supsup.recovery.encode import encode_archive

    path = masks.with_name("memory.h5")
    with MaskArchive.open(masks) as archive:
        encode_archive(archive).save(path)
    return path


def test_encode(masks, memory, run, tmp_path):
    path = tmp_path / "memory.h5"
    made = run("encode", masks, "--out", path, "--quiet", "--json").json()
    assert (made["tasks"], made["units"], made["rule"]) == (3, 4096, "projection")
    assert made["bytes"] == path.stat().st_size
    assert 0 < made["accept"]["split-mnist/1"] < 2.3
    assert path.read_bytes() == memory.read_bytes()


def test_recover_needs_no_archive(masks, memory, run, tmp_path, monkeypatch):
    with MaskArchive.open(masks) as archive:
        truth = archive.get("split-mnist/1")
    monkeypatch.chdir(tmp_path)
    masks.rename(masks.with_suffix(".away"))
    try:
        out, plot = tmp_path / "mask.npz", tmp_path / "p.png"
        found = run(
            "recover", memory, *OF, "split-mnist/1", "--out", out, "--plot", plot, "--json"
        ).json()
        text = run("recover", memory, *OF, "split-mnist/2").out
    finally:
        masks.with_suffix(".away").rename(masks)
    assert found["task"] == found["nearest"] == "split-mnist/1"
    assert (found["hamming"], found["exact"], found["known"]) == (0, True, True)
    assert found["steps"] == 10 * (found["restarts"] + 1)
    assert set(found["trajectory"][0]) == {"step", "restart", "energy", "entropy", "hamming"}
    assert found["trajectory"][0]["hamming"] > 100
    assert found["trajectory"][-1]["hamming"] == 0
    with np.load(out) as arrays:
        assert all(np.array_equal(arrays[name], truth[name]) for name in truth)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "split-mnist/2" in text
    assert "bits that differ 0" in text


def test_recover_from_a_file_of_images(memory, run, tmp_path):
    task = make_task(task_family("split-mnist-sample")[2], load("mnist-sample"))
    np.save(tmp_path / "x.npy", task.test_images.numpy())
    found = run("recover", memory, "--data", tmp_path / "x.npy", "--json").json()
    assert (found["task"], found["exact"]) == ("split-mnist/2", True)


def test_a_task_that_was_never_stored(masks, memory, run):
    found = run("recover", memory, *OF, "split-mnist/4", "--json").json()
    assert (found["task"], found["known"], found["exact"]) == (None, False, False)
    assert found["hamming"] is None
    assert found["restarts"] >= 2
    beside = run("recover", memory, *OF, "split-mnist/4", "--archive", masks)
    assert beside.out.startswith("unknown")
    beside = run("recover", memory, *OF, "split-mnist/1", "--archive", masks, "--json").json()
    assert beside["hamming"] == 0
    assert beside["nearest"] == "split-mnist/1"


def test_other_rules_and_forms(masks, run, tmp_path):
    for options in (["--rule", "storkey", "--bits", "4"], ["--form", "packed"]):
        path = tmp_path / "m.h5"
        assert run("encode", masks, "--out", path, *options, "--force", "--quiet").code == 0
        assert run("recover", path, *OF, "split-mnist/0", "--json").json()["exact"], options


def test_nothing_is_overwritten_unasked(masks, memory, run, tmp_path):
    there = tmp_path / "a.npz"
    there.write_bytes(b"other")
    for path, command in (
        (masks, ("encode", masks, "--out", masks)),
        (memory, ("encode", masks, "--out", memory)),
        (there, ("recover", memory, *OF, "split-mnist/1", "--out", there)),
    ):
        before = path.read_bytes()
        refused = run(*command)
        assert (refused.code, "there is a file already" in refused.err) == (1, True)
        assert path.read_bytes() == before
    assert run("recover", memory, *OF, "split-mnist/1", "--out", there, "--force").code == 0
    assert there.read_bytes() != b"other"


def test_masks_by_hand_have_no_calibration(masks, run, tmp_path):
    with MaskArchive.open(masks) as archive:
        path = tmp_path / "b.h5"
        with MaskArchive.create(
            path,
            archive.layout,
            backbone=archive.backbone,
            weights_digest=archive.weights_digest,
        ) as other:
            for name in archive.names():
                other.add(name, archive.get(name))
    memory = tmp_path / "m.h5"
    assert run("encode", path, "--out", memory, "--quiet").code == 0
    found = run("recover", memory, *OF, "split-mnist/1", "--json").json()
    assert (found["task"], found["known"], found["restarts"]) == ("split-mnist/1", None, 2)
    assert run("recover", memory, "--data", tmp_path / "x.npy").code == 1


def test_errors_are_one_line(masks, memory, run, tmp_path):
    truncated, altered = tmp_path / "t.h5", tmp_path / "c.h5"
    truncated.write_bytes(memory.read_bytes()[:-100])
    data = bytearray(memory.read_bytes())
    data[len(data) // 2] ^= 1
    altered.write_bytes(data)
    stranger, empty = tmp_path / "s.h5", tmp_path / "e.h5"
    loaded, recipe = load_memory(memory)
    save_memory(stranger, loaded, {"note": "no recipe"})
    run("create", empty, "--net", "bn-2048", "--outputs", "2")
    for arguments in (
        ("recover", truncated, *OF, "split-mnist/1"),
        ("recover", altered, *OF, "split-mnist/1"),
        ("recover", stranger, *OF, "split-mnist/1"),
        ("recover", masks, *OF, "split-mnist/1"),
        ("recover", tmp_path / "none.h5", *OF, "split-mnist/1"),
        ("recover", memory),
        ("recover", memory, "--task", "split-mnist/1"),
        ("recover", memory, *OF, "split-mnist/9"),
        ("recover", memory, *OF, "split-mnist/1", "--archive", empty, "--out", "x.txt"),
        ("encode", empty, "--out", tmp_path / "m.h5"),
        ("encode", masks, "--out", tmp_path / "m.h5", "--rule", "magic"),
        ("encode", masks, "--out", tmp_path / "m.h5", "--form", "packed", "--bits", "4"),
        ("compare", "--dataset", "split-mnist-sample", "--out", tmp_path, "--seeds", "a"),
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (1, ""), arguments
        assert len(result.err.splitlines()) == 1, result.err
    recipe["weights_digest"] = "0" * 64
    save_memory(stranger, loaded, recipe)
    assert "0" * 64 in run("recover", stranger, *OF, "split-mnist/1").err
    recipe = json.loads(json.dumps(recipe)) | {"ones": "AAAA"}
    save_memory(stranger, loaded, recipe)
    assert "encode" in run("recover", stranger, *OF, "split-mnist/1").err


def test_compare(masks, run, tmp_path):
    out, plot = tmp_path / "out", tmp_path / "p.png"
    out.mkdir()
    archive, memory = out / "split-mnist-sample-0.h5", out / "split-mnist-sample-0.memory.h5"
    shutil.copy(masks, archive)
    arguments = ("compare", "--dataset", "split-mnist-sample", "--seeds", "0", "--out", out)
    found = run(
        *arguments, "--tasks", "3", "--steps", "20", "--plot", plot, "--quiet", "--json"
    ).json()
    assert found["seeds"] == [0]
    assert [row["task"] for row in found["runs"]] == [f"split-mnist/{at}" for at in range(3)]
    assert found["exact_rate"] == 1
    for row in found["runs"]:
        assert row["explicit_accuracy"] == row["hopfield_accuracy"] > 0.8
    assert found["explicit_bytes"] == archive.stat().st_size == masks.stat().st_size
    assert found["explicit_bytes"] < found["hopfield_bytes"] == memory.stat().st_size
    assert found["dense_bytes"] > 3 * 20_000_000
    assert plot.read_bytes().startswith(b"\x89PNG")
    with MaskArchive.open(archive) as opened:
        kept, _ = load_memory(memory)
        pattern = pattern_of(opened.get("split-mnist/1"), opened.layout)
        assert np.array_equal(np.sign(kept.drive(pattern.astype(float))), pattern)
    other = run(*arguments, "--tasks", "3", "--steps", "21", "--quiet")
    assert "asked for 21" in other.err


def test_compare_into_a_folder_of_the_data_s_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ("--tasks", "1", "--steps", "2", "--net", "bn-2048", "--quiet", "--json")
    assert run("compare", "--dataset", "nothing-mnist", *short).code != 0
    assert not list(tmp_path.iterdir())
    assert run("compare", "--dataset", "split-mnist-sample", *short).code == 0
    assert (tmp_path / "split-mnist-sample" / "split-mnist-sample-0.h5").exists()
