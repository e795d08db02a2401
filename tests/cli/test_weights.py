"""train, create, eval and list over trained weights, as a user runs them."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from supsup import BackboneRecipe
from supsup.networks.registry import make_module
from supsup.networks.weights_file import sha256_of_file

TINY = ("--dataset", "split-mnist-sample", "--tasks", "2", "--steps", "5")
TINY += ("--optimizer", "adam", "--lr", "0.001")


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file of weights of lenet-300-100, which might have been trained."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    recipe = BackboneRecipe(net="lenet-300-100", outputs=10)
    save_file(make_module(recipe, allow_code=False).state_dict(), "w.safetensors")
    torch.save(make_module(recipe, allow_code=False).state_dict(), "other.pt")
    return tmp_path / "w.safetensors"


def one_line(result) -> str:
    assert result.code == 1
    assert not result.out
    (line,) = result.err.splitlines()
    return line


def test_masks_are_trained_over_a_file_and_evaluated_with_it(weights, run, tmp_path):
    made = run("train", "a.h5", *TINY, "--outputs", "10", "--weights", weights, "--json", "--quiet")
    assert made.code == 0, made.err
    kept = run("show", "a.h5", "--json").json()["backbone"]["weights"]
    assert kept == {
        "file": "w.safetensors",
        "bytes": weights.stat().st_size,
        "sha256": sha256_of_file(weights),
        "parameters": ["*"],
    }
    accuracy = run("eval", "a.h5", "--json", "--quiet").json()["accuracy"]
    assert accuracy == pytest.approx(
        sum(t["metadata"]["metrics"]["accuracy"] for t in made.json()["trained"]) / 2
    )
    # Trained ones are no seeded start, so that the codec of one does not apply.
    assert {task["codec"] for task in made.json()["trained"]} <= {"raw", "ans", "gaps", "zstd"}

    hidden = tmp_path / "hidden"
    hidden.mkdir()
    weights.rename(hidden / weights.name)
    said = one_line(run("eval", "a.h5", "--quiet"))
    assert kept["sha256"] in said
    assert "SUPSUP_WEIGHTS" in said
    (tmp_path / "other.pt").rename(weights)
    assert sha256_of_file(weights) in one_line(run("eval", "a.h5", "--quiet"))


def test_a_file_is_found_in_the_folder_that_the_environment_names(
    weights, run, tmp_path, monkeypatch
):
    assert run("create", "a.h5", "--outputs", "10", "--weights", weights).code == 0
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    weights.rename(hidden / weights.name)
    monkeypatch.setenv("SUPSUP_WEIGHTS", str(hidden))
    assert run("train", "a.h5", *TINY, "--quiet").code == 0


def test_other_weights_for_an_archive_are_refused_before_training(weights, run):
    assert run("create", "a.h5", "--outputs", "10", "--weights", weights).code == 0
    said = one_line(run("train", "a.h5", *TINY, "--weights", "other.pt", "--quiet"))
    assert sha256_of_file(weights) in said
    assert run("create", "b.h5", "--outputs", "10").code == 0
    said = one_line(run("train", "b.h5", *TINY, "--weights", weights, "--quiet"))
    assert "weights of parameters" in said


def test_embedded_weights_need_no_file(weights, run):
    asked = ("--outputs", "10", "--weights", weights, "--embed-weights")
    assert run("train", "a.h5", *TINY, *asked, "--quiet").code == 0
    weights.unlink()
    assert run("eval", "a.h5", "--quiet").code == 0
    more = ("--dataset", "split-mnist-sample", "--tasks", "3", *TINY[4:], "--resume", "--quiet")
    assert run("train", "a.h5", *more).code == 0
    stats = run("stats", "a.h5", "--json").json()
    assert stats["weights_bytes"] == stats["shared_bytes"] > 0
    assert stats["ratio_without_weights"] > stats["ratio_to_dense"]
    assert "none to embed" in one_line(run("create", "b.h5", "--embed-weights"))


def test_a_part_of_the_parameters(weights, run):
    asked = ("--outputs", "100", "--weights", weights)
    said = one_line(run("create", "a.h5", *asked))
    assert "'fc3.weight': the network's is of shape (100, 100), found (10, 100)" in said
    some = ("--weights-for", "fc1.*", "--weights-for", "fc2.*")
    assert run("create", "a.h5", *asked, *some).code == 0
    assert run("train", "a.h5", *TINY, "--quiet").code == 0
    assert "from which file" in one_line(run("create", "b.h5", "--weights-for", "fc1.*"))
    assert "cannot read" in one_line(run("create", "b.h5", "--weights", "gone.pt"))


FROM = (*TINY, "--outputs", "10", "--backbone-from", "split-mnist/0", "--quiet")


@pytest.mark.parametrize("more", [(), ("--per-task", "fc3.*")])
def test_the_network_is_trained_on_one_task_first(run, tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    made = run("train", "a.h5", *FROM, *more, "--json")
    assert made.code == 0, made.err
    kept = run("show", "a.h5", "--json").json()["backbone"]["weights"]
    assert kept["file"] == "a.trunk.safetensors"
    assert kept["sha256"] == sha256_of_file(tmp_path / "a.trunk.safetensors")
    found = run("eval", "a.h5", "--json", "--quiet").json()
    assert [each["accuracy"] for each in found["per_task"]] == [
        each["metadata"]["metrics"]["accuracy"] for each in made.json()["trained"]
    ]
    assert run("train", "a.h5", *FROM, *more, "--json", "--resume").json()["skipped"] == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--backbone-from", "split-mnst/1"), "did you mean 'split-mnist/1'?"),
        (("--weights", "w.safetensors"), "give one of --weights and --backbone-from"),
        (("--codec", "gzip"), "codec"),
        (("--outputs", "1"), "--outputs"),
    ],
)
def test_a_network_that_cannot_be_trained_first_is_one_line(weights, run, tmp_path, more, says):
    before = set(tmp_path.iterdir())
    assert says in one_line(run("train", "a.h5", *FROM, *more))
    assert set(tmp_path.iterdir()) == before


def test_only_a_new_archive_gets_a_network_that_is_trained_first(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("train", "a.h5", *TINY, "--outputs", "10", "--quiet").code == 0
    for more in ((), ("--resume",)):
        said = one_line(run("train", "a.h5", *FROM, *more))
        assert "this one has its network" in said
    (tmp_path / "a.h5").unlink()
    (tmp_path / "a.trunk.safetensors").write_bytes(b"mine")
    assert "remove it" in one_line(run("train", "a.h5", *FROM))
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(
    ("over", "says"),
    [
        (("--weights", "w.safetensors"), "lie over the weights of w.safetensors; leave"),
        (("--backbone-from", "split-mnist/1"), "trained on task 'split-mnist/1'; leave"),
    ],
)
def test_a_training_over_other_weights_is_not_resumed(weights, run, over, says):
    assert run("train", "a.h5", *TINY, "--outputs", "10", *over, "--quiet").code == 0
    assert says in one_line(run("train", "a.h5", *FROM, "--resume"))


def test_weights_that_are_named_are_heeded_where_nothing_is_left_to_train(weights, run, tmp_path):
    train = ("train", "a.h5", *TINY, "--outputs", "10", "--quiet")
    assert run(*train, "--weights", weights).code == 0
    other = tmp_path / "other.safetensors"
    save_file({name: 2 * value for name, value in load_file(weights).items()}, other)
    said = one_line(run(*train, "--resume", "--weights", other))
    assert sha256_of_file(other) in said
    assert sha256_of_file(weights) in said
    assert run(*train, "--resume", "--weights", weights, "--embed-weights").code == 0
    weights.unlink()
    assert run("eval", "a.h5", "--quiet").code == 0


def test_a_stream_without_names_is_learnt_over_trained_weights(weights, run):
    stream = ("--dataset", "split-mnist-sample", "--tasks", "2", "--least", "20", "--most", "20")
    stream += ("--outputs", "10", "--steps", "20", "--optimizer", "adam", "--lr", "0.001")
    learnt = run("learn", "l.h5", *stream, "--weights", weights, "--embed-weights", "--quiet")
    assert learnt.code == 0, learnt.err
    weights.unlink()
    # Without the file: the network is that of the archive.
    assert "came to its end" in one_line(run("learn", "l.h5", *stream, "--resume"))
    assert run("show", "l.h5", "--json").json()["backbone"]["weights"]["file"] == weights.name
    assert run("eval", "l.h5", "--scenario", "NNs", "--quiet").code == 0
    missing = one_line(run("learn", "b.h5", *stream, "--weights", weights))
    assert str(weights) in missing
