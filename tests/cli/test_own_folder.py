"""A user's own images from the command line: train, resume, eval, infer; in Python by one name."""

import pytest

from maskstore import InvalidInput, MaskArchive
from supsup import SupSup
from tests.supsup.datasets.test_own_data import CHANGES, CLASSES, make_arrays, make_folder

HOW = ("--steps", "4", "--batch", "5", "--quiet")


@pytest.fixture
def trained(tmp_path, run):
    folder = make_folder(tmp_path / "pets")
    path = tmp_path / "a.h5"
    done = run("train", path, "--dataset", "split-folder", "--data", folder, "--size", 4, *HOW)
    assert done.code == 0, done.err
    return path, folder


def test_tasks_are_trained_resumed_evaluated_and_inferred(trained, run):
    path, folder = trained
    same = ("train", path, "--dataset", "split-folder", "--data", folder, "--size", 4, *HOW)
    assert "already" in run(*same).err
    assert run(*same, "--resume", "--json").json()["skipped"] == 2
    with MaskArchive.open(path) as archive:
        first, second = archive
        assert [first.name, second.name] == ["split-pets/0", "split-pets/1"]
        assert [first.metadata["classes"], second.metadata["classes"]] == [
            list(CLASSES[:2]),
            list(CLASSES[2:]),
        ]
        assert archive.backbone["options"] == {"inputs": 48}
        kept = {each.name: each.metadata["metrics"]["accuracy"] for each in archive}
    found = run("eval", path, "--data", folder, "--json").json()
    assert {row["name"]: row["accuracy"] for row in found["per_task"]} == kept
    assert run("eval", path, "--data", folder, "--scenario", "GNu", "--json").code == 0
    inferred = run("infer", path, "--data", folder / "test" / "owl", "--json").json()
    assert [each["file"] for each in inferred["images"]] == ["0.png", "1.png"]
    assert all(each["label"] in CLASSES for each in inferred["images"])


@pytest.mark.parametrize("rule", ["permuted", "rotated"])
def test_other_families_and_arrays(rule, tmp_path, run):
    data, path = make_arrays(tmp_path / "pets.npz"), tmp_path / "a.h5"
    family = ("--dataset", f"{rule}-folder", "--data", data, "--tasks", 2)
    assert run("train", path, *family, *HOW).code == 0
    found = run("eval", path, "--data", data, "--json").json()
    assert [row["name"] for row in found["per_task"]] == [f"{rule}-pets/0", f"{rule}-pets/1"]


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_are_refused_by_what_differs_unless_forced(change, trained, run):
    path, folder = trained
    make, difference = CHANGES[change]
    make(folder)
    refused = run("eval", path, "--data", folder)
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert difference in refused.err
    again = run(
        "train",
        path,
        "--dataset",
        "split-folder",
        "--data",
        folder,
        "--size",
        4,
        *HOW,
        "--ways",
        3 if "less" in change and "class" in change else 2,
        "--resume",
    )
    assert again.code == 1
    if change not in ("a class less", "a class more"):  # told by the tasks there would be
        assert difference in again.err
        assert run("eval", path, "--data", folder, "--force", "--json").code == 0


def test_without_the_images_it_is_said_what_to_do(trained, run):
    path, folder = trained
    refused = run("eval", path)
    assert refused.code == 1
    assert "--data" in refused.err
    assert run("train", path, "--dataset", "split-mnist-sample", "--tasks", 1, *HOW).code == 1
    found = run("eval", path, "--data", folder.parent)
    assert found.code == 1
    assert "no folder train" in found.err


def test_masks_of_images_that_are_not_at_hand_are_skipped_beside_others(tmp_path, run):
    path = tmp_path / "a.h5"
    train = ("train", path, *HOW)
    assert run(*train, "--dataset", "split-mnist-sample", "--tasks", 1).code == 0
    folder = make_folder(tmp_path / "pets", shape=(6, 6))
    family = ("--dataset", "split-folder", "--data", folder, "--size", 28, "--tasks", 1)
    assert run(*train, *family).code == 0
    found = run("eval", path, "--json").json()
    assert [row["name"] for row in found["per_task"]] == ["split-mnist/0"]
    assert [each["name"] for each in found["skipped"]] == ["split-pets/0"]
    assert len(run("eval", path, "--data", folder, "--json").json()["per_task"]) == 2
    CHANGES["another picture"][0](folder)
    assert "digests" in run("eval", path, "--data", folder).err


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        (("--dataset", "split-folder"), 2, "--data"),
        (("--dataset", "split-mnist-sample", "--size", 4), 2, "--size"),
        (("--dataset", "split-folder", "--data", "FOLDER", "--ways", 3), 1, "tasks of 3"),
        (("--dataset", "permuted-folder", "--data", "FOLDER", "--ways", 2), 1, "ways"),
        (("--dataset", "permuted-folder", "--data", "FOLDER"), 1, "no last task"),
        (("--dataset", "torn-folder", "--data", "FOLDER"), 1, "unknown task family"),
        (("--dataset", "split-folder", "--data", "FOLDER", "--engine", "ray"), 1, "engine ray"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing(arguments, code, match, tmp_path, run):
    folder = make_folder(tmp_path / "pets")
    given = [folder if each == "FOLDER" else each for each in arguments]
    refused = run("train", tmp_path / "a.h5", *given, *HOW)
    assert refused.code == code
    assert match in refused.err
    assert not (tmp_path / "a.h5").exists()


def test_ways_are_for_every_split(tmp_path, run):
    path = tmp_path / "a.h5"
    family = ("--dataset", "split-mnist-sample", "--ways", 5)
    assert run("train", path, *family, *HOW).code == 0
    listed = run("list", path, "--json").json()["tasks"]
    assert [each["metadata"]["classes"] for each in listed] == [5, 5]


def test_the_front_door_takes_them_by_name(tmp_path):
    folder = make_folder(tmp_path / "pets")
    how = {"steps": 3, "batch": 5, "quiet": True}
    with SupSup.create(tmp_path / "a.h5", "lenet-300-100", outputs=4, inputs=108) as model:
        stored = model.train("split-folder", data=folder, **how)
        assert [each.name for each in stored] == ["split-pets/0", "split-pets/1"]
        named = model.train("split-folder", data=folder, name="pets", **how)
        assert [each.name for each in named] == ["pets/0", "pets/1"]
        assert model.train("split-folder", data=folder, name="pets", resume=True, **how) == []
        for each in named:
            model.archive.remove(each.name)
        assert model.evaluate(data=folder).accuracy == pytest.approx(
            sum(each.metadata["metrics"]["accuracy"] for each in stored) / 2
        )
        labels = model.predict(folder / "test" / "yak", "split-pets/1").labels
        assert set(labels) <= {"owl", "yak"}
        assert model.data("split-pets/1", folder).class_names == ("owl", "yak")
        model.archive.rename("split-pets/0", "mine")
        CHANGES["another picture"][0](folder)
        with pytest.raises(InvalidInput, match="images that task 'mine' was trained on"):
            model.evaluate(data=folder)
        with pytest.raises(InvalidInput, match="data="):
            model.train("split-folder", **how)


def test_the_front_door_scales_and_splits_them(tmp_path):
    """All four classes in one task, at another size; what says nothing of such tasks is refused."""
    folder = make_folder(tmp_path / "pets")
    how = {"steps": 3, "batch": 5, "quiet": True}
    with SupSup.create(tmp_path / "a.h5", "lenet-300-100", outputs=4, inputs=48) as model:
        (stored,) = model.train("split-folder", data=folder, ways=4, size=4, **how)
        assert stored.metadata["classes"] == list(CLASSES)
        data = model.data(stored.name, folder)
        assert model.evaluate(data=folder).accuracy == stored.metadata["metrics"]["accuracy"]
        (x, _), *_ = data.test_batches(2)
        assert x[0].numel() == 48
        for wrong, match in (
            ({"tasks": data, "ways": 4}, "ways: of a family"),
            ({"tasks": "split-mnist-sample", "size": 4}, "size: split-mnist-sample has pictures"),
            ({"tasks": "split-folder", "data": folder, "ways": 3, "size": 4}, "tasks of 3"),
        ):
            with pytest.raises(InvalidInput, match=match):
                model.train(**wrong, **how)
