"""prototypes: what the command measures, says and leaves as it is."""

import pytest

TINY = ("--dataset", "split-mnist-sample", "--steps", "20", "--outputs", "10", "--quiet")


@pytest.fixture
def trained(run, tmp_path):
    path = tmp_path / "a.h5"
    assert run("train", path, *TINY).code == 0
    return path


def test_single_images_find_their_task(run, trained):
    before = run("list", trained, "--json").json()["tasks"]
    without = run("eval", trained, "--scenario", "GNu", "--json", "--quiet").json()
    result = run("prototypes", trained, "--json", "--quiet")
    assert result.code == 0, result.err
    told = result.json()
    assert told["measured"] == 5
    # Two classes of 256 bytes, a checksum, a row of the index, and what describes the tensor.
    assert 0 < told["tensor_bytes_per_task"] <= 2 * 256 + 160
    assert 0 < told["shared_bytes"] <= 80_000
    found = run("eval", trained, "--scenario", "GNu", "--json", "--quiet").json()
    assert (without["method"], found["method"]) == ("exhaustive", "prototypes")
    assert found["task_accuracy"] > max(0.75, without["task_accuracy"] + 0.1)
    after = run("list", trained, "--json").json()["tasks"]
    assert [(t["name"], t["sha256"]) for t in after] == [(t["name"], t["sha256"]) for t in before]
    assert run("verify", trained, "--deep").code == 0
    sizes = run("stats", trained, "--json").json()
    assert sizes["shared_bytes"] == told["shared_bytes"]
    assert sizes["tensor_bytes_per_task"] == told["tensor_bytes_per_task"]
    again = run("prototypes", trained, "--json", "--quiet").json()
    assert again["measured"] == 0


def test_show_says_what_a_removed_task_left(run, trained):
    assert "prototypes" not in run("show", trained, "--json").json()
    assert run("prototypes", trained, "--quiet").code == 0
    whole = run("show", trained, "--json").json()["prototypes"]
    assert whole == {
        "features": {"size": 248, "seed": 0, "layer": None},
        "tasks": 5,
        "in_covariance": 5,
        "in_covariance_and_not_here": 0,
    }
    assert run("remove", trained, "split-mnist/4").code == 0
    left = run("show", trained, "--json").json()["prototypes"]
    assert left == whole | {"tasks": 4, "in_covariance_and_not_here": 1}
    assert run("prototypes", trained, "--rebuild", "--quiet").code == 0
    anew = run("show", trained, "--json").json()["prototypes"]
    assert anew == whole | {"tasks": 4, "in_covariance": 4}


def test_other_features_need_rebuild(run, trained):
    assert run("prototypes", trained, "--features", "60", "--quiet").code == 0
    refused = run("prototypes", trained, "--features", "70", "--quiet")
    assert refused.code == 1
    assert "--rebuild" in refused.err
    assert len(refused.err.splitlines()) == 1
    anew = run("prototypes", trained, "--features", "70", "--rebuild", "--json", "--quiet")
    assert anew.json()["measured"] == 5
    unknown = run("prototypes", trained, "--layer", "head", "--rebuild", "--quiet")
    assert (unknown.code, "no layer 'head'" in unknown.err) == (1, True)
    assert run("eval", trained, "--scenario", "GNu", "--method", "prototypes", "--quiet").code == 0


def test_without_prototypes_the_method_says_what_to_do(run, trained):
    refused = run("eval", trained, "--scenario", "GNu", "--method", "prototypes", "--quiet")
    assert refused.code == 1
    assert "supsup-store prototypes" in refused.err
