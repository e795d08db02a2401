"""infer and eval without the task, on two tasks that a short training tells apart."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from maskstore import InvalidInput, MaskArchive
from supsup.archives import backbone_of, bank_of
from supsup.datasets import load
from supsup.inference import infer_in
from supsup.tasks import make_task, task_family
from supsup_store.progress import stage_progress


@pytest.fixture(scope="module")
def rotated(tmp_path_factory):
    """Three rotations, upright first; and images of the third."""
    import sys

    from supsup_store.main import main

    folder = tmp_path_factory.mktemp("rotated")
    path = folder / "a.h5"
    arguments = ["train", str(path), "--dataset", "permuted-mnist-sample", "--tasks", "3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["supsup-store", *arguments, "--steps", "60", "--outputs", "50", "--quiet"]
        )
        with pytest.raises(SystemExit, match="0"):
            main()
    digits = load("mnist-sample")
    task = make_task(task_family("permuted-mnist-sample", 3)[2], digits)
    x, y = next(iter(task.test_batches(32)))
    np.save(folder / "x.npy", x.numpy())
    return path, folder / "x.npy", y.numpy()


def test_infer_finds_the_task_and_the_classes(rotated, run):
    path, data, labels = rotated
    found = run("infer", path, "--data", data, "--json").json()
    assert set(found) == {"method", "objective", "mode", "reason", "images"}
    assert "few enough" in found["reason"]
    tasks = [row["task"] for row in found["images"]]
    assert tasks.count("permuted-mnist/2") >= 24
    right = [row["prediction"] for row in found["images"]] == labels
    assert right.mean() > 0.5
    together = run("infer", path, "--data", data, "--mode", "batch", "--json").json()
    assert {row["task"] for row in together["images"]} == {"permuted-mnist/2"}
    assert {row["known"] for row in together["images"]} == {True}
    printed = run("infer", path, "--data", data, "--method", "one-shot", "--mode", "batch")
    assert "permuted-mnist/2" in printed.out


def test_infer_says_so_where_the_data_are_of_no_task_here(rotated, run, tmp_path):
    path, data, _ = rotated
    images = np.load(data)
    shuffled = np.random.default_rng(0).permuted(images.reshape(len(images), -1), axis=1)
    np.save(tmp_path / "other.npy", shuffled.reshape(images.shape))
    arguments = ("infer", path, "--data", tmp_path / "other.npy", "--mode", "batch")
    found = run(*arguments, "--json").json()
    assert {row["known"] for row in found["images"]} == {False}
    told = run(*arguments)
    assert "32 of 32 images are unlike those of the task found for them" in told.err
    assert "known" in told.out
    assert "unlike" not in run(*arguments, "--quiet").err


@pytest.mark.parametrize("scenario", ["GNs", "GNu"])
def test_eval_without_the_task(rotated, run, scenario):
    path, _, _ = rotated
    given = run("eval", path, "--json", "--quiet").json()
    found = run(
        *("eval", path, "--scenario", scenario, "--method", "exhaustive"),
        *("--mode", "batch", "--json", "--quiet"),
    ).json()
    assert (found["scenario"], found["method"], found["tasks"]) == (scenario, "exhaustive", 3)
    assert found["objective"] == "entropy"
    assert found["task_accuracy"] > 0.9
    assert found["accuracy"] <= given["accuracy"] + 1e-9
    assert found["accuracy"] > given["accuracy"] - 0.1


def test_a_bar_for_each_stage(rotated, run, monkeypatch):
    path, data, _ = rotated
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200)
    monkeypatch.setattr("supsup_store.console.stderr", console)
    for quiet, expected in (((), True), (("--quiet",), False)):
        shown.truncate(0)
        assert run("infer", path, "--data", data, "--json", *quiet).code == 0
        assert ("predicting" in shown.getvalue()) is expected
    with stage_progress(quiet=False) as report:
        report("reading", 2, 5)
        report("reading", 5, 5)
        report("trying", 1, 7)
    for stage in ("reading", "trying", "1/7"):
        assert stage in shown.getvalue()


def test_bad_input(rotated, run, tmp_path):
    path, data, _ = rotated
    np.save(tmp_path / "wrong.npy", np.zeros((2, 5), np.float32))
    np.save(tmp_path / "nan.npy", np.full((2, 784), np.nan, np.float32))
    np.save(tmp_path / "bytes.npy", np.full((2, 784), 255, np.float32))
    empty = tmp_path / "empty.h5"
    run("create", empty, "--net", "bn-2048", "--outputs", "2")
    for arguments in [
        ("infer", path, "--data", tmp_path / "wrong.npy"),
        ("infer", path, "--data", tmp_path / "nan.npy"),
        ("infer", path, "--data", tmp_path / "bytes.npy"),
        ("infer", path, "--data", tmp_path / "none.npy"),
        ("infer", path, "--data", data, "--method", "magic"),
        ("infer", path, "--data", data, "--objective", "magic"),
        ("infer", path, "--data", data, "--mode", "magic"),
        ("infer", empty, "--data", data),
        ("eval", empty, "--scenario", "GNu", "--quiet"),
    ]:
        result = run(*arguments)
        assert (result.code, result.out) == (1, ""), arguments
        assert len(result.err.splitlines()) == 1, result.err


def test_a_folder_of_pictures_gives_their_names_in_order(rotated, run, tmp_path):
    path, _, _ = rotated
    digits = load("mnist-sample").test_images
    for number in (0, 1, 2, 10, 11):
        Image.fromarray(digits[number].numpy()).save(tmp_path / f"{number}.png")
    found = run("infer", path, "--data", tmp_path, "--json").json()
    assert [row["file"] for row in found["images"]] == [f"{n}.png" for n in (0, 1, 2, 10, 11)]
    assert "10.png" in run("infer", path, "--data", tmp_path).out


def test_a_picture_that_is_too_large_is_one_line(rotated, run, tmp_path):
    path, _, _ = rotated
    header = struct.pack(">II5B", 13000, 13000, 8, 2, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(b"")}
    chunks = [
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in parts.items()
    ]
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    result = run("infer", path, "--data", tmp_path)
    assert result.err.count("\n") == 1
    assert "13000×13000 pixels, more than the 67108864 that are read" in result.err


def test_pixels_from_0_to_1_are_inferred_as_bytes_are(rotated, run, tmp_path):
    path, _, _ = rotated
    digits = load("mnist-sample").test_images[:8].numpy()
    np.save(tmp_path / "bytes.npy", digits)
    np.save(tmp_path / "unit.npy", (digits / 255).astype(np.float32))
    plain = run("infer", path, "--data", tmp_path / "bytes.npy", "--json")
    unit = run("infer", path, "--data", tmp_path / "unit.npy", "--json")
    assert unit.json() == plain.json()
    assert plain.json()["images"][0]["file"] is None
    assert "numbers from 0 to 1 are taken for pixels" in unit.err
    assert not plain.err


def test_a_bank_knows_the_range_of_its_data(rotated):
    path, data, _ = rotated
    x = torch.from_numpy(np.load(data))
    digits = load("mnist-sample").test_images[:8].flatten(1)
    with MaskArchive.open(path) as archive:
        bank = bank_of(archive, backbone_of(archive))
        assert set(infer_in(bank, x, mode="batch").names) == {"permuted-mnist/2"}
        for wrong, found in ((digits / 255, "from 0 to 1"), (digits.float(), "from 0 to 255")):
            with pytest.raises(InvalidInput, match=f"{found}, where .* on -0.42 to 2.82"):
                infer_in(bank, wrong)
