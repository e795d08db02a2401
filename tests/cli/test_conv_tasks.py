"""SplitCIFAR100 and SplitImageNet from files to accuracies, read back in a new process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskstore import MaskArchive
from supsup import BackboneRecipe, build
from supsup.archives import create_archive
from supsup.datasets import SOURCES
from supsup.datasets import catalog as catalog_module
from supsup.tasks import task_family
from tests.supsup.datasets.helpers import cifar_like, colours, write_cifar, write_class_folders

ROOT = Path(__file__).parents[2]


def in_a_new_process(*arguments) -> dict:
    """The document of a command that runs in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_accuracies(archive: Path, evaluated: dict, tasks: int) -> list[float]:
    """Every task's accuracy is that right after its training; gives them."""
    with MaskArchive.open(archive) as opened:
        trained = {task.name: task.metadata["metrics"]["accuracy"] for task in opened}
    found = {row["name"]: row["accuracy"] for row in evaluated["per_task"]}
    assert found == trained
    assert len(found) == tasks
    return list(found.values())


def test_split_cifar100(run, tmp_path, monkeypatch):
    data, archive = tmp_path / "cifar", tmp_path / "cifar.h5"
    write_cifar(data)
    monkeypatch.setattr(catalog_module, "SOURCES", {**SOURCES, "cifar100": cifar_like(data)})
    options = ("--dataset", "split-cifar100", "--data", data, "--codec", "fast", "--quiet")
    training = ("--steps", "4", "--batch", "20", "--optimizer", "adam", "--lr", "0.02", "--json")
    net = ("--net", "resnet18", "--outputs", "5", "--statistics", "batch")
    first = run("train", archive, *options, *training, *net, "--tasks", "1").json()
    later = run("train", archive, *options, *training, "--tasks", "3", "--resume").json()
    assert [task["name"] for task in first["trained"]] == ["split-cifar100/0"]
    assert (len(later["trained"]), later["skipped"]) == (2, 1)

    stand_in = ("tests.supsup.datasets.cifar_stand_in", data)
    evaluated = in_a_new_process(*stand_in, "eval", archive, "--data", data, "--quiet")
    accuracies = check_accuracies(archive, evaluated, tasks=3)
    assert np.mean(accuracies) > 0.3  # of five colours

    images, labels = colours(100, 4, seed=2)
    recipe = task_family("split-cifar100")[1]
    wanted = np.isin(labels, recipe.task_rule.classes(1, 0, 100, recipe.options))
    np.save(tmp_path / "some.npy", images[wanted].transpose(0, 2, 3, 1))
    given = ("--data", tmp_path / "some.npy", "--method", "exhaustive", "--mode", "batch")
    found = run("infer", archive, *given, "--json").json()["images"]
    assert len(found) == 20
    assert all(0 <= row["prediction"] < 5 for row in found)


def test_split_imagenet(run, tmp_path):
    data, archive = tmp_path / "data", tmp_path / "imagenet.h5"
    recipes = task_family("split-imagenet", 2)
    classes = [n for r in recipes for n in r.task_rule.classes(r.index, 0, 1000, r.options)]
    write_class_folders(data / "imagenet", dict.fromkeys(classes, 4))
    # A small one: the commands take it from the archive.
    options = {"width": 4, "blocks": [1, 1, 1, 1]}
    recipe = BackboneRecipe(net="resnet50", outputs=10, options=options)
    create_archive(archive, build(recipe)).close()
    training = ("--steps", "3", "--batch", "16", "--tasks", "2", "--codec", "fast", "--quiet")
    given = ("--dataset", "split-imagenet", "--data", data, "--json")
    done = run("train", archive, *given, *training).json()
    assert [task["name"] for task in done["trained"]] == ["split-imagenet/0", "split-imagenet/1"]

    evaluated = in_a_new_process("supsup_store", "eval", archive, "--data", data, "--quiet")
    check_accuracies(archive, evaluated, tasks=2)
    pictures = data / "imagenet" / "train" / f"n{classes[0]:08d}"
    found = run("infer", archive, "--data", pictures, "--mode", "batch", "--json").json()
    assert len(found["images"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "split-imagenet"), "no folders train and val"),
        (("--dataset", "permuted-imagenet"), "unknown task family"),
        (("--dataset", "split-mnist-sample", "--net", "resnet18"), "takes colour images"),
    ],
)
def test_one_line_says_what_is_wrong(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.delenv("SUPSUP_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **o: tmp_path / "cache" / name)
    result = run("train", tmp_path / "a.h5", *arguments, "--steps", "1", "--outputs", "10")
    assert result.code == 1
    assert message in result.err.replace("\n", " ")
