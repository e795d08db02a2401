"""create, train, eval and demo as a user runs them; tiny trainings on the embedded digits."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from maskstore import MaskArchive
from tests.cli.processes import Mark

TINY = ("--dataset", "split-mnist-sample", "--net", "bn-2048", "--outputs", "2", "--steps", "3")


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two trained tasks, made by the command in a process of its own."""
    path = tmp_path_factory.mktemp("trained") / "split.h5"
    subprocess.run(
        [sys.executable, "-m", "supsup_store", "train", path, *TINY, "--tasks", "2", "--quiet"],
        check=True,
    )
    return path


def test_another_process_gets_the_same_accuracy_to_the_last_digit(trained, run):
    listed = run("list", trained, "--json").json()["tasks"]
    assert [task["name"] for task in listed] == ["split-mnist/0", "split-mnist/1"]
    found = run("eval", trained, "--scenario", "GG", "--json", "--quiet").json()
    assert set(found) == {
        "scenario",
        "method",
        "objective",
        "batch",
        "tasks",
        "accuracy",
        "task_accuracy",
        "per_task",
        "skipped",
    }
    assert found["tasks"] == 2
    for task, row in zip(listed, found["per_task"], strict=True):
        assert row["name"] == task["name"]
        assert row["accuracy"] == task["metadata"]["metrics"]["accuracy"] > 0.5


def test_running_statistics_answer_a_single_image(run, tmp_path):
    path, image = tmp_path / "running.h5", tmp_path / "one.npy"
    options = ("train", path, *TINY, "--statistics", "running", "--quiet")
    assert run(*options, "--tasks", "1").code == 0
    assert run("train", path, *TINY, "--tasks", "2", "--resume", "--quiet").code == 0
    listed = run("list", path, "--json").json()["tasks"]
    names = [[tensor["name"] for tensor in task["tensors"]] for task in listed]
    assert names == [[f"bn{n}.running_{what}" for n in (1, 2) for what in ("mean", "var")]] * 2
    given = run("eval", path, "--json", "--quiet").json()["per_task"]
    for row, task in zip(given, listed, strict=True):
        assert row["accuracy"] == task["metadata"]["metrics"]["accuracy"] > 0.5
    images = np.zeros((3, 28, 28), np.uint8)
    images[:, 6:22, 12:16] = 255
    for count in (1, 3):
        np.save(image, images[:count])
        (answer, *_) = run("infer", path, "--data", image, "--json", "--quiet").json()["images"]
        assert answer["task"] in ("split-mnist/0", "split-mnist/1")
    out = tmp_path / "dense.safetensors"
    assert run("export", path, "split-mnist/1", "--out", out).code == 0
    assert out.stat().st_size > 4 * 2048
    refused = run("encode", path, "--out", tmp_path / "memory.h5")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "a memory of bits works on masks alone" in refused.err
    other = run("train", path, *TINY, "--statistics", "batch", "--resume", "--quiet")
    assert other.code == 1
    assert "made for statistics 'running', asked for 'batch'" in other.err


def test_parameters_of_each_tasks_own(run, tmp_path):
    """Made by options, gone on with, listed, taken out, counted; what cannot be is one line."""
    path = tmp_path / "own.h5"
    own = ("--per-task", "fc2.weight", "--per-task-lr", "0.01", "--per-task-dtype", "int8")
    small = ("--dataset", "split-mnist-sample", "--steps", "12", "--net", "lenet-300-100")
    assert run("create", path, "--net", "lenet-300-100", "--per-task", "fc2.weight").code == 0
    assert run("train", path, *small, *own, "--tasks", "1", "--quiet").code == 0
    assert run("train", path, *small, *own[2:], "--tasks", "2", "--resume", "--quiet").code == 0
    listed = run("list", path, "--json").json()["tasks"]
    for task in listed:
        kinds = {each["name"]: (each["dtype"], each["shape"]) for each in task["tensors"]}
        assert kinds == {"fc2.weight": ("int8", [100, 300]), "int8-steps": ("float32", [1])}
        assert task["bits"] == 784 * 300 + 100 * 100
    given = run("eval", path, "--json", "--quiet").json()["per_task"]
    for row, task in zip(given, listed, strict=True):
        assert row["accuracy"] == task["metadata"]["metrics"]["accuracy"] > 0.5
    assert run("stats", path, "--json").json()["tensor_bytes_per_task"] > 0
    out = tmp_path / "mask.npz"
    assert run("get", path, "split-mnist/0", "--out", out).code == 0
    assert "tensors/fc2.weight" in np.load(out)
    for wrong, message in (
        (("--per-task", "fc9.*"), "no parameter matches 'fc9.*'"),
        (("--per-task-dtype", "int4"), "per_task_dtype: expected one of"),
        (("--per-task", "fc3.weight"), "made for per_task ['fc2.weight'], asked for"),
        ((), "training per_task_lr 0.01, asked for None"),
    ):
        name = path if "fc9.*" not in wrong else tmp_path / "new.h5"
        said = run("train", name, *small, *wrong, "--tasks", "2", "--resume", "--quiet")
        assert (said.code, said.err.count("\n")) == (1, 1)
        assert message in said.err
    assert not (tmp_path / "new.h5").exists()
    covered = ("create", tmp_path / "one.h5", "--net", "lenet-300-100", "--maskable", "fc[12].*")
    layout = run(*covered, "--json").json()["layout"]
    assert [each["name"] for each in layout] == ["fc1.weight", "fc2.weight"]
    refused = run("encode", path, "--out", tmp_path / "memory.h5")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "a memory of bits works on masks alone" in refused.err


def test_two_runs_give_the_same_bits(trained, run, tmp_path):
    again = tmp_path / "again.h5"
    assert run("train", again, *TINY, "--tasks", "2", "--quiet").code == 0
    a = run("list", trained, "--json").json()["tasks"]
    b = run("list", again, "--json").json()["tasks"]
    assert [task["sha256"] for task in a] == [task["sha256"] for task in b]


def test_resume_trains_what_is_missing(trained, run, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(trained.read_bytes())
    before = digest(path)
    refused = run("train", path, "--dataset", "split-mnist-sample", "--steps", "3", "--tasks", "3")
    assert refused.code == 1
    assert "--resume" in refused.err
    assert digest(path) == before
    other = run("train", path, "--dataset", "split-mnist-sample", "--steps", "4", "--resume")
    assert other.code == 1
    assert "training steps 3, asked for 4" in other.err
    done = run(
        *("train", path, "--dataset", "split-mnist-sample", "--steps", "3"),
        *("--tasks", "3", "--resume", "--json", "--quiet"),
    ).json()
    assert ([task["name"] for task in done["trained"]], done["skipped"]) == (["split-mnist/2"], 2)


def test_names_of_the_users_own(run, tmp_path):
    path = tmp_path / "a.h5"
    once = ("train", path, *TINY, "--tasks", "2", "--quiet")
    again = (*once, "--name", "sparse", "--mask", "topk", "--density", "0.1")
    assert run(*once).code == 0
    # The same data, trained in another way under names of their own.
    assert run(*again, "--tasks", "1").code == 0
    before = digest(path)
    refused = run(*again)
    assert (refused.code, digest(path)) == (1, before)
    assert "task 'sparse/0' is there already" in refused.err
    other = run(*again, "--density", "0.2", "--resume")
    assert (other.code, digest(path)) == (1, before)
    assert "task 'sparse/0' was trained with training density 0.1, asked for 0.2" in other.err
    nameless = run(*once, "--name", "", "--tasks", "1")
    assert (nameless.code, digest(path)) == (1, before)
    assert "expected a PREFIX, got ''" in nameless.err
    assert run("rename", path, "sparse/0", "thin").code == 0
    done = run(*again, "--resume", "--json").json()
    assert ([each["name"] for each in done["trained"]], done["skipped"]) == (["sparse/1"], 1)
    found = {row["name"]: row["accuracy"] for row in run("eval", path, "--json").json()["per_task"]}
    assert list(found) == ["split-mnist/0", "split-mnist/1", "thin", "sparse/1"]
    listed = run("list", path, "--json").json()["tasks"]
    assert found == {each["name"]: each["metadata"]["metrics"]["accuracy"] for each in listed}
    assert listed[0]["ones"] > 4 * listed[2]["ones"]


def test_plain_h5py_opens_it(trained):
    with h5py.File(trained) as file:
        assert json.loads(bytes(file["header"][...]))["backbone"]["net"] == "bn-2048"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "split-cats"), "unknown task family 'split-cats'"),
        (("--dataset", "split-mnist-sample", "--tasks", "6"), "expected 1 to 5 tasks, got 6"),
        (("--dataset", "permuted-mnist-sample"), "say how many tasks"),
        (("--dataset", "split-mnist-sample", "--net", "lenet-300-100"), "made for net 'bn-2048'"),
        (("--dataset", "split-mnist-sample", "--seed", "7"), "made for seed 0, asked for 7"),
        (("--dataset", "split-mnist-sample", "--lr", "nan"), "lr: expected a positive number"),
        (("--dataset", "split-mnist-sample", "--optimizer", "lion"), "optimizer: expected one of"),
        (("--dataset", "split-mnist-sample", "--device", "cuda:99"), "cannot be used here"),
        (("--dataset", "split-fashion-mnist", "--data", "/no/such/folder"), "/no/such/folder"),
    ],
)
def test_training_that_cannot_be(trained, run, arguments, message):
    before = digest(trained)
    result = run("train", trained, *arguments, "--quiet")
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert digest(trained) == before


def test_tasks_that_diverge_are_named_and_the_others_kept(run, tmp_path, monkeypatch):
    from supsup.archives import engine
    from supsup.tasks.task import make_task as real

    def make_task(recipe, images):
        made = real(recipe, images)
        if recipe.index in (0, 2):
            made.scale.fill_(float("nan"))
        return made

    monkeypatch.setattr(engine, "make_task", make_task)
    path, log = tmp_path / "a.h5", tmp_path / "log.csv"
    result = run(
        *("train", path, *TINY, "--tasks", "4", "--json", "--quiet"),
        *("--csv", log, "--tensorboard", tmp_path / "events", "--parallel", "3"),
    )
    assert result.code == 1
    assert "2 of 4 tasks have no mask: split-mnist/0, split-mnist/2." in result.err
    assert "lower the learning rate" in result.err
    assert len(result.err.splitlines()) == 1
    report = result.json()
    assert [task["name"] for task in report["trained"]] == ["split-mnist/1", "split-mnist/3"]
    assert [task["name"] for task in report["diverged"]] == ["split-mnist/0", "split-mnist/2"]
    assert all("the loss is nan" in task["error"] for task in report["diverged"])
    lines = log.read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [f"split-mnist/{at}" for at in range(4)]
    assert list((tmp_path / "events").iterdir())
    with MaskArchive.open(path) as archive:
        assert [task.name for task in archive] == ["split-mnist/1", "split-mnist/3"]


def test_transfer_goes_from_task_to_task(run, tmp_path):
    path = tmp_path / "a.h5"
    for tasks in ("1", "3"):
        result = run("train", path, *TINY, "--tasks", tasks, "--transfer", "masks", "--resume")
        assert result.code == 0
    with MaskArchive.open(path) as archive:
        assert [task.metadata["earlier"] for task in archive] == [0, 1, 2]
    again = run("train", path, *TINY, "--tasks", "4", "--resume")
    assert "trained with training transfer 'masks', asked for 'none'" in again.err


@pytest.mark.parametrize(
    ("rule", "option", "value", "default"),
    [("split", "labels", "original", "shared"), ("rotated", "sampling", "nearest", "bilinear")],
)
def test_what_a_family_can_choose_is_recorded_and_evaluated(
    rule, option, value, default, run, tmp_path
):
    path, flag = tmp_path / "a.h5", f"--{option}"
    arguments = ("train", path, "--dataset", f"{rule}-mnist-sample", "--outputs", "10", "--steps")
    arguments = (*arguments, "3", "--tasks", "1", "--quiet")
    assert run(*arguments, flag, value).code == 0
    with MaskArchive.open(path) as archive:
        (stored,) = archive
    assert stored.metadata["task"]["options"][option] == value
    found = run("eval", path, "--json", "--quiet").json()
    assert found["accuracy"] == stored.metadata["metrics"]["accuracy"]
    assert run(*arguments, flag, value, "--resume").code == 0
    for other in ((), (flag, default)):
        result = run(*arguments, *other, "--resume")
        assert result.code == 1
        assert "task" in result.err
    wrong = ("train", tmp_path / "b.h5", "--dataset", "permuted-mnist-sample", "--tasks", "1")
    result = run(*wrong, flag, value)
    assert (result.code, (tmp_path / "b.h5").exists()) == (1, False)
    assert f"unknown option '{option}'" in result.err


@pytest.mark.parametrize("transfer", ["none", "scores"])
def test_killed_and_resumed_is_uninterrupted(transfer, run, tmp_path):
    """As benchmarks/kill_resume.py does at length."""
    from benchmarks.kill_resume import digests, finish_training, kill_training

    def command(tasks):
        return (
            *("--dataset", "permuted-mnist-sample", "--tasks", str(tasks), "--steps", "25"),
            *("--outputs", "10", "--codec", "fast", "--transfer", transfer),
        )

    whole, killed = tmp_path / "whole.h5", tmp_path / "killed.h5"
    # Far more tasks than there is time for: on a slow machine, too, the kill comes amid them.
    done = kill_training(killed, command(1000), wanted=2, wait=0.1)
    assert 2 <= done < 1000
    finish_training(killed, command(done + 4))
    # In a process of its own, too: a task that has all cores must find as many of them.
    finish_training(whole, command(done + 4))
    assert digests(killed) == digests(whole)
    assert len(digests(whole)) == done + 4


def test_an_unknown_dataset_makes_no_file(run, tmp_path):
    path = tmp_path / "a.h5"
    assert run("train", path, "--dataset", "split-cats").code == 1
    assert run("train", path, "--dataset", "split-mnist-sample", "--net", "vgg").code == 1
    assert run("train", path, "--dataset", "split-mnist-sample", "--mask", "none").code == 1
    assert run("create", path, "--net", "os:getcwd").code == 1
    assert not path.exists()


def test_masks_by_hand_cannot_be_evaluated(run, tmp_path):
    path = tmp_path / "a.h5"
    assert run("create", path, "--net", "bn-2048", "--outputs", "2", "--seed", "3").code == 0
    assert "no tasks" in run("eval", path, "--quiet").err
    assert run("show", path, "--json").json()["backbone"]["seed"] == 3
    assert "expected one of GG" in run("eval", path, "--scenario", "NN", "--quiet").err


def test_regenerated_weights_must_have_the_recorded_digest(run, tmp_path):
    path = tmp_path / "a.h5"
    run("create", path, "--net", "bn-2048", "--outputs", "2")
    with MaskArchive.open(path) as archive:
        layout, backbone = archive.layout, archive.backbone
    other = tmp_path / "b.h5"
    MaskArchive.create(other, layout, backbone=backbone, weights_digest="0" * 64).close()
    result = run("train", other, "--dataset", "split-mnist-sample", "--steps", "1", "--quiet")
    assert result.code == 1
    assert "0" * 64 in result.err


def test_ctrl_c_leaves_a_valid_archive_and_says_how_to_go_on(tmp_path):
    path, mark = tmp_path / "a.h5", Mark()
    command = ("--dataset", "permuted-mnist-sample", "--tasks", "1000", "--steps", "60")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "supsup_store",
            "train",
            path,
            *command,
            "--parallel",
            "2",
            "--quiet",
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=mark.environment,
    )
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        time.sleep(0.05)
        if path.exists():
            with MaskArchive.open(path) as archive:
                if len(archive):
                    break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "--resume goes on" in err
    assert len(err.splitlines()) == 1
    with MaskArchive.open(path, "a", timeout=0.0) as archive:
        assert 1 <= len(archive) < 1000
    assert mark.alive() == []


def test_demo(run, tmp_path, monkeypatch):
    import dataclasses

    from supsup import demo

    for name in ("DEMO_CONFIG", "UNITS_CONFIG"):
        config = dataclasses.replace(getattr(demo, name), epochs=None, steps=3)
        monkeypatch.setattr(demo, name, config)
    out = tmp_path / "out"
    result = run("demo", "--out", out, "--json", "--quiet")
    assert (result.code, result.err) == (0, "")
    report = result.json()
    stats, recovered = report["stats"], report["recovered"]
    assert (report["trained"], report["damage"], stats["tasks"]) == (10, 0, 5)
    assert stats["file_bytes"] == (out / "split-mnist.h5").stat().st_size
    # Masks on weights: their archive is smaller than one bit a weight, and that than a dense model.
    assert stats["bits_per_mask"] == 784 * 300 + 300 * 100 + 100 * 10
    assert (
        stats["bytes_per_task"] < stats["bitpacked_bytes_per_task"] < stats["dense_bytes_per_task"]
    )
    assert (recovered["units"], recovered["tasks"]) == (4096, 5)
    assert recovered["memory_bytes"] == (out / "hopfield" / "split-mnist.memory.h5").stat().st_size
    assert (out / "split-mnist.png").read_bytes().startswith(b"\x89PNG")
    again = run("demo", "--out", out, "--quiet")
    assert again.code == 0
    assert "split-mnist/4" in again.out
    assert "task accuracy" not in again.out  # the task is given: there is none to be found
    assert f"a file of {recovered['memory_bytes']:,} bytes" in again.out
    assert run("demo", "--out", out, "--json", "--quiet").json()["trained"] == 0


def test_where_a_gradual_mask_begins_is_heeded(run, tmp_path):
    gradual = (*TINY, "--tasks", "1", "--quiet", "--mask", "gradual", "--density", "0.05")
    digests = set()
    for start in ("0.1", "0.9"):
        path = tmp_path / f"{start}.h5"
        assert run("train", path, *gradual, "--start-density", start).code == 0
        (task,) = run("list", path, "--json").json()["tasks"]
        assert task["metadata"]["training"]["start_density"] == float(start)
        digests.add(task["sha256"])
    assert len(digests) == 2
    for options in (("--mask", "gradual", "--start-density", "7"), ("--start-density", "0.1")):
        refused = run("train", tmp_path / "c.h5", *TINY, "--tasks", "1", *options)
        assert (refused.code, refused.err.startswith("error: start_density: ")) == (1, True)
        assert not (tmp_path / "c.h5").exists()


def test_outliers_need_a_superfluous_output_and_are_recorded(run, tmp_path):
    options = ("--tasks", "1", "--outliers", "0.1", "--quiet")
    refused = run("train", tmp_path / "a.h5", *TINY, *options)
    assert refused.code == 1
    assert "has 2 classes and the network 2 outputs" in refused.err
    assert not (tmp_path / "a.h5").exists()
    assert run("train", tmp_path / "a.h5", *TINY, *options, "--outputs", "3").code == 0
    (task,) = run("list", tmp_path / "a.h5", "--json").json()["tasks"]
    assert task["metadata"]["training"]["outliers"] == 0.1
    without = run("train", tmp_path / "b.h5", *TINY, "--tasks", "1", "--quiet", "--outputs", "3")
    assert without.code == 0
    (other,) = run("list", tmp_path / "b.h5", "--json").json()["tasks"]
    assert other["sha256"] != task["sha256"]
    turned = ("--outlier-kind", "rotated", "--outputs")
    refused = run("train", tmp_path / "c.h5", *TINY, *options, *turned, "7")
    assert refused.code == 1
    assert "use a network of 8 or more" in refused.err
    assert not (tmp_path / "c.h5").exists()
    assert run("train", tmp_path / "c.h5", *TINY, *options, *turned, "8").code == 0
    (third,) = run("list", tmp_path / "c.h5", "--json").json()["tasks"]
    assert third["metadata"]["training"]["outlier_kind"] == "rotated"
    assert third["sha256"] not in (task["sha256"], other["sha256"])


def test_gaussian_outliers_are_drawn_from_an_archive(run, tmp_path):
    first, second, third = (tmp_path / f"{name}.h5" for name in "abc")
    plain = (*TINY[:-3], "10", *TINY[-2:], "--quiet", "--tasks")
    drawn = ("--outliers", "0.1", "--outlier-kind", "gaussian")
    refused = run("train", first, *plain, "2", *drawn)
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert "prototypes of other tasks, and there are none" in refused.err
    assert not first.exists()
    assert run("train", first, *plain, "1").code == 0
    assert run("prototypes", first, "--quiet").code == 0
    refused = run("train", second, *plain, "1", *drawn, "--outliers-from", first)
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert "no task but 'split-mnist/0' itself has prototypes" in refused.err
    assert not second.exists()
    refused = run("train", second, *plain, "1", "--outliers-from", first)
    assert (refused.code, "goes with outlier_kind gaussian" in refused.err) == (1, True)
    assert not second.exists()
    # In the archive itself, those that were there before.
    assert run("train", first, *plain, "3", *drawn, "--resume").code == 1
    assert run("train", first, *plain, "3", *drawn, "--name", "again").code == 1
    assert run("train", first, *plain, "2", "--resume").code == 0
    assert run("prototypes", first, "--quiet").code == 0
    assert run("train", second, *plain, "2", *drawn, "--outliers-from", first).code == 0
    assert run("train", third, *plain, "2").code == 0
    tasks = [run("list", path, "--json").json()["tasks"] for path in (second, third)]
    assert [task["metadata"]["drawn_from"] for task in tasks[0]] == [1, 1]
    for one, other in zip(*tasks, strict=True):
        assert one["sha256"] != other["sha256"]


def test_import_and_export(trained, run, tmp_path):
    from tests.supsup.checkpoints.helpers import reference_checkpoint

    reference_checkpoint(tmp_path / "final.pt", conv_type="FastMultitaskMaskConv")
    made = run("import", tmp_path / "a.h5", tmp_path / "final.pt", "--json").json()
    assert (made["tasks"], made["bits_per_mask"]) == (3, 720)
    named = run("import", tmp_path / "b.h5", tmp_path / "final.pt", "--name", "paper")
    assert "bytes before" in named.out
    assert "masks alone" not in named.err
    alone = run("import", tmp_path / "alone.h5", tmp_path / "final.pt", "--net", "none")
    assert "cannot be evaluated" in alone.err
    merged = run(
        "merge", tmp_path / "a.h5", tmp_path / "b.h5", "--out", tmp_path / "c.h5", "--json"
    )
    assert merged.json()["tasks"] == 6
    said = run("import", tmp_path / "d.h5", tmp_path / "final.pt", "--mask", "topk")
    assert (said.code, "contradicts" in said.err) == (1, True)
    assert not (tmp_path / "d.h5").exists()
    out = tmp_path / "dense.safetensors"
    done = run("export", trained, "split-mnist/1", "--out", out, "--json").json()
    assert done["bytes"] == out.stat().st_size > 20_000_000
    again = run("export", trained, "split-mnist/1", "--out", out)
    assert (again.code, "--force" in again.err) == (1, True)
    assert run("export", trained, "split-mnist/1", "--out", out, "--force").code == 0
    for command in (("export", "task/0", "--out", tmp_path / "x.safetensors"), ("eval",)):
        refused = run(command[0], tmp_path / "alone.h5", *command[1:])
        assert (refused.code, "imported masks alone" in refused.err) == (1, True)
    # The one with its network: the checkpoint's weights under the mask.
    assert run("export", tmp_path / "a.h5", "task/0", "--out", tmp_path / "x.safetensors").code == 0


def test_tasks_at_chance_are_named(run, tmp_path):
    options = ("--dataset", "split-mnist-sample", "--tasks", "2", "--outputs", "2", "--json")
    hopeless = (*options, "--steps", "5", "--mask", "topk", "--density", "0.00001")  # 2 weights
    made = run("train", tmp_path / "a.h5", *hopeless)
    assert made.code == 0
    assert len(made.json()["trained"]) == 2
    note = "2 of 2 tasks are at chance, no better than guessing: split-mnist/0, split-mnist/1;"
    assert note in made.err.replace("\n", " ")
    assert "at chance" not in run("train", tmp_path / "b.h5", *hopeless, "--quiet").err
    assert "at chance" not in run("train", tmp_path / "c.h5", *options, "--steps", "20").err
