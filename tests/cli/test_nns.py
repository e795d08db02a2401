"""learn and eval --scenario NNs on two permutations of the embedded digits."""

import pytest

from maskstore import MaskArchive

SHORT = ("--tasks", "2", "--least", "40", "--most", "50", "--steps", "60", "--outputs", "20")


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return tmp_path_factory.mktemp("stream") / "a.h5"


def test_learn_makes_a_mask_for_every_task(stream, run):
    found = run("learn", stream, "--dataset", "permuted-mnist-sample", *SHORT, "--json", "--quiet")
    document = found.json()
    assert document["allocated"] == 2
    assert document["batches"] == sum(row["steps"] for row in document["masks"])
    for at, row in enumerate(document["masks"]):
        assert row["name"] == f"nns/{at}"
        assert row["sources"] == [{"task": f"permuted-mnist/{at}", "batches": row["steps"]}]
    with MaskArchive.open(stream) as archive:
        assert archive.names() == ["nns/0", "nns/1"]


def test_eval_knows_which_tasks_the_stream_had(stream, run):
    found = run("eval", stream, "--scenario", "NNs", "--mode", "batch", "--json", "--quiet").json()
    assert [row["name"] for row in found["per_task"]] == ["permuted-mnist/0", "permuted-mnist/1"]
    assert found["scenario"] == "NNs"
    assert found["task_accuracy"] == 1.0
    assert found["accuracy"] > 0.8


def test_learn_trains_as_it_is_told(run, tmp_path):
    path = tmp_path / "a.h5"
    paper = ("--optimizer", "rmsprop", "--lr", "1e-4", "--schedule", "constant", "--own-scores")
    short = ("--tasks", "1", "--least", "4", "--most", "4", "--outputs", "20", "--quiet")
    run("learn", path, "--dataset", "permuted-mnist-sample", *short, *paper)
    with MaskArchive.open(path) as archive:
        (stored,) = archive
    training, scores = stored.metadata["training"], stored.metadata["scores"]
    told = [training[key] for key in ("optimizer", "lr", "schedule", "shared_scores")]
    assert told == ["rmsprop", 1e-4, "constant", False]
    assert scores["stream"] == "scores/nns/0"


def test_bad_input(stream, run, tmp_path):
    for options in (
        ("--allocation", "magic"),
        ("--every", "0"),
        ("--least", "9", "--most", "8"),
        ("--budget", "0"),
        ("--optimizer", "lion"),
        ("--lr", "0"),
        ("--schedule", "linear"),
    ):
        path = tmp_path / "new.h5"
        result = run("learn", path, "--dataset", "permuted-mnist-sample", *SHORT, *options)
        assert (result.code, result.out) == (1, ""), options
        assert len(result.err.splitlines()) == 1, result.err
        assert not path.exists()
    again = run("learn", stream, "--dataset", "permuted-mnist-sample", *SHORT)
    assert again.code == 1
    assert "there is a file already" in again.err
