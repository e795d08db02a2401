import csv

import pytest

from maskstore.errors import InvalidInput
from supsup import TrainConfig, TrainingDiverged, build, train
from supsup.training.logs import CsvLog, Logs, TensorBoardLog, TrainingLog
from tests.supsup.helpers import Blobs, small_lenet


def training(log: TrainingLog, names: str) -> None:
    """Train tasks of one letter each; that of an x has no mask."""
    tasks = [Blobs(name=name) for name in names]
    for task in tasks:
        if task.name == "x":
            task.x[:] = float("nan")
    masks = train(
        build(small_lenet()),
        tasks,
        TrainConfig(steps=25),
        progress=log.progress,
        diverged=log.diverged,
    )
    for mask in masks:
        log.trained(mask.name, mask.metrics)


def test_csv_has_a_line_a_task_and_is_gone_on_with(tmp_path):
    path = tmp_path / "log.csv"
    for names in ("axb", "c"):
        with CsvLog(path) as log:
            training(log, names)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["task"] for row in rows] == list("abxc") or [r["task"] for r in rows] == list(
        "axbc"
    )
    by_name = {row["task"]: row for row in rows}
    assert float(by_name["a"]["accuracy"]) > 0.9
    assert by_name["a"]["steps"] == "25"
    assert by_name["a"]["error"] == ""
    assert by_name["x"]["accuracy"] == ""
    assert "the loss is nan" in by_name["x"]["error"]
    assert 0 < float(by_name["a"]["seconds"]) <= float(by_name["b"]["seconds"])


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\tx", "plain=1"])
def test_no_name_is_a_formula_in_a_spreadsheet(tmp_path, name):
    metrics = {"accuracy": -1.0, "loss": 0.0, "density": 0.5, "steps": 1}
    with CsvLog(tmp_path / "log.csv") as log:
        log.trained(name, metrics)
        log.diverged(TrainingDiverged(f"{name} diverged", task=name))
    with open(tmp_path / "log.csv", newline="") as file:
        trained, diverged = csv.DictReader(file)
    marked = name if name == "plain=1" else f"'{name}"
    assert trained["task"] == diverged["task"] == marked
    assert diverged["error"] == f"{marked} diverged"
    assert trained["accuracy"] == "-1.0"


def test_what_is_no_such_csv_file_is_left_alone(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match=r"other.csv: expected a CSV file of columns .* a,b;"):
        CsvLog(path)
    assert path.read_text() == "a,b\n1,2\n"
    with pytest.raises(InvalidInput, match="cannot be gone on with"):
        CsvLog(tmp_path)


def test_tensorboard_has_curves(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    csv_path = tmp_path / "log.csv"
    with Logs([CsvLog(csv_path), TensorBoardLog(tmp_path / "events")]) as log:
        training(log, "axb")
    found = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in found.Scalars("loss/a")] == [20, 25]
    assert len(found.Scalars("task/accuracy")) == 2
    assert "diverged/text_summary" in found.Tags()["tensors"]
    assert len(csv_path.read_text().splitlines()) == 4


def test_without_tensorboard_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(InvalidInput, match=r"pip install 'supsup-store\[tensorboard\]'"):
        TensorBoardLog(tmp_path)
