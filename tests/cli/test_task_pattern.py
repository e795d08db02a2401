"""--task PATTERN: what commands do with some of the tasks is what they do with all, for these."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from supsup_store.app import app

    path = tmp_path_factory.mktemp("pattern") / "split.h5"
    options = ("--net", "bn-2048", "--outputs", "10", "--steps", "15", "--quiet", "--json")
    app(["train", str(path), "--dataset", "split-mnist-sample", *options], standalone_mode=False)
    return path


def test_eval_of_some(trained, run):
    whole = {row["name"]: row for row in run("eval", trained, "--json").json()["per_task"]}
    some = run("eval", trained, "--task", "*/[1-2]", "--json").json()
    assert some["tasks"] == 2
    assert some["per_task"] == [whole["split-mnist/1"], whole["split-mnist/2"]]


@pytest.mark.parametrize("scenario", ["GNs", "GNu", "NNs"])
def test_tasks_are_inferred_among_all_masks_all_the_same(trained, run, scenario):
    options = ("--scenario", scenario, "--method", "one-shot", "--mode", "batch", "--json")
    whole = {row["name"]: row for row in run("eval", trained, *options).json()["per_task"]}
    some = run("eval", trained, "--task", "split-mnist/3", *options).json()
    assert some["per_task"] == [whole["split-mnist/3"]]


def test_infer_among_some_and_with_one_only_predict(trained, run, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (8, 28, 28), np.uint8))
    images = ("infer", trained, "--data", tmp_path / "x.npy", "--json")
    some = run(*images, "--task", "*/[34]").json()["images"]
    assert {row["task"] for row in some} <= {"split-mnist/3", "split-mnist/4"}
    one = run(*images, "--task", "split-mnist/2").json()["images"]
    assert [row["task"] for row in one] == ["split-mnist/2"] * 8


def test_encode_some(trained, run, tmp_path):
    out = tmp_path / "m.h5"
    made = run("encode", trained, "--task", "*/[01]", "--out", out, "--json").json()
    assert made["tasks"] == 2
    assert list(made["accept"]) == ["split-mnist/0", "split-mnist/1"]


def test_stats_of_some(trained, run):
    whole = run("stats", trained, "--per-task", "--json").json()
    some = run("stats", trained, "--task", "*/4", "--per-task", "--json").json()
    assert some["per_task"] == [whole["per_task"][4]]
    assert some["tasks"] == 1
    assert whole["per_task"][4]["coded_bytes"] < some["file_bytes"] < whole["file_bytes"]


@pytest.mark.parametrize("command", ["eval", "infer", "encode", "stats", "overlap"])
def test_a_pattern_that_matches_nothing(trained, run, tmp_path, command):
    np.save(tmp_path / "x.npy", np.zeros((2, 28, 28), np.uint8))
    more = {"infer": ("--data", tmp_path / "x.npy"), "encode": ("--out", tmp_path / "m.h5")}
    result = run(command, trained, "--task", "splt-mnist/1", *more.get(command, ()))
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert "no task of 5 is called 'splt-mnist/1'" in result.err
    assert "did you mean 'split-mnist/1'?" in result.err
    assert not (tmp_path / "m.h5").exists()
