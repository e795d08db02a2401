"""train --engine ray on a small cluster here: machines that die, Ctrl-C, errors, and equal bits."""

import json
import signal
import subprocess
import sys

import pytest
from safetensors.torch import save_file

from maskstore import InvalidInput, MaskArchive
from supsup import BackboneRecipe, TrainConfig, build
from supsup.cluster import RayCluster
from supsup.tasks import TaskRecipe, task_family
from tests.cli.processes import Mark

pytest.importorskip("ray", reason="Ray is not installed: pip install 'supsup-store[ray]'")

TRAINING = ("--dataset", "permuted-mnist-sample", "--tasks", "10", "--steps", "150")
NET = ("--outputs", "10", "--codec", "fast")


@pytest.fixture(scope="module")
def cluster():
    from benchmarks.cluster_kill import small_cluster

    with small_cluster() as made:
        yield made


def contents(path):
    with MaskArchive.open(path) as archive:
        return [(task.name, task.sha256, task.metadata) for task in archive]


def test_interrupted_and_without_a_machine_it_is_the_archive_of_one_machine(cluster, run, tmp_path):
    """As benchmarks/cluster_kill.py does at length."""
    from benchmarks.cluster_kill import start_training, train_losing_a_machine, wait_for

    path, alone = tmp_path / "cluster.h5", tmp_path / "alone.h5"
    # Far more tasks than there is time for: on a slow machine, too, the signal comes amid them.
    endless = (*TRAINING[:3], "1000", *TRAINING[4:], *NET)
    process = start_training(path, endless, cluster, stderr=subprocess.PIPE)
    wait_for(process, path, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "--resume goes on" in err
    assert len(err.splitlines()) == 1
    interrupted = len(contents(path))
    assert 1 <= interrupted < 1000

    tasks = interrupted + 8
    rest = (*TRAINING[:3], str(tasks), *TRAINING[4:], *NET)
    done = train_losing_a_machine(path, (*rest, "--resume"), cluster, interrupted + 1)
    assert done < tasks
    assert run("train", alone, *rest, "--quiet").code == 0
    assert contents(path) == contents(alone)
    assert len(contents(path)) == tasks


def test_weights_inside_the_archive_are_sent_along(cluster, run, tmp_path):
    first = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=1))
    save_file(dict(first.module.named_parameters()), tmp_path / "w.safetensors")
    over = (*TRAINING[:3], "2", "--steps", "5", *NET, "--optimizer", "adam", "--lr", "0.001")
    made = (*over, "--weights", tmp_path / "w.safetensors", "--embed-weights")
    alone, path = tmp_path / "alone.h5", tmp_path / "a.h5"
    assert run("train", alone, *made, "--quiet").code == 0
    assert run("train", path, *made[:3], "1", *made[4:], "--quiet").code == 0
    (tmp_path / "w.safetensors").unlink()
    on_ray = ("--engine", "ray", "--address", cluster.address, "--resume", "--quiet")
    done = run("train", path, *over, *on_ray)
    assert done.code == 0, done.err
    assert contents(path) == contents(alone)


def test_masks_that_diverge_are_told_and_others_kept(cluster):
    tasks = task_family("permuted-mnist-sample", 3)
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10))
    told, reports = [], []
    with RayCluster(cluster.address) as here:
        wild = TrainConfig(steps=3, lr=1e38, schedule="constant")
        assert list(here.train(backbone, tasks, wild, diverged=told.append)) == []
        assert [failure.task for failure in told] == [task.name for task in tasks]
        masks = here.train(backbone, tasks, TrainConfig(steps=2), progress=reports.append)
        assert [mask.name for mask in masks] == [task.name for task in tasks]
        assert [(each.name, each.step) for each in reports] == [(task.name, 2) for task in tasks]


def test_errors_of_a_training_are_not_tried_again_and_read_as_at_home(cluster):
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=4))
    unknown = TaskRecipe(dataset="cats", rule="permuted", index=0)
    config = TrainConfig(steps=1)
    with RayCluster(cluster.address) as here:
        with pytest.raises(InvalidInput, match=r"^task 'permuted-mnist/0' has 10 classes"):
            list(here.train(backbone, task_family("permuted-mnist-sample", 1), config))
        with pytest.raises(InvalidInput, match="unknown data set 'cats'"):
            list(here.train(backbone, [unknown], config))


def test_a_cluster_of_this_machine_alone_ends_with_the_training(run, tmp_path):
    path, alone, mark = tmp_path / "local.h5", tmp_path / "alone.h5", Mark()
    command = (*TRAINING[:3], "2", "--steps", "20", *NET)
    on_ray = ("--engine", "ray", "--address", "local", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "supsup_store", "train", path, *command, *on_ray],
        capture_output=True,
        text=True,
        env=mark.environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["trained"]) == 2
    assert mark.alive() == []
    assert run("train", alone, *command, "--quiet").code == 0
    assert contents(path) == contents(alone)


def test_json_is_all_of_stdout_and_there_must_be_a_gpu_for_cuda(cluster, run, tmp_path):
    on_ray = ("--engine", "ray", "--address", cluster.address)
    done = run("train", tmp_path / "a.h5", *TRAINING[:3], "1", "--steps", "2", *on_ray, "--json")
    assert [task["name"] for task in json.loads(done.out)["trained"]] == ["permuted-mnist/0"]
    refused = run("train", tmp_path / "b.h5", *TRAINING, *on_ray, "--device", "cuda")
    assert refused.code == 1
    assert "has no GPU" in refused.err
    assert not (tmp_path / "b.h5").exists()
