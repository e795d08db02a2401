"""Logs by one text each; of a tracker that is not installed, a stand-in keeps what it is told."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from maskstore.errors import InvalidInput
from supsup import SupSup, TrainingDiverged
from supsup.training.logs import TrainingLog
from supsup.training.trackers import logs_of
from tests.supsup.helpers import Blobs, small_lenet
from tests.supsup.training.test_logs import training


class FakeRun(SimpleNamespace):
    """A run of wandb."""

    def __init__(self) -> None:
        super().__init__(rows=[], axes={}, summary={}, finished=0)

    def define_metric(self, name, step_metric):
        self.axes[name] = step_metric

    def log(self, row):
        self.rows.append(row)

    def finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    module = ModuleType("wandb")
    module.runs = {}
    module.init = lambda project: module.runs.setdefault(project, FakeRun())
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture
def mlflow(monkeypatch):
    module = ModuleType("mlflow")
    module.calls = []
    for name in ("set_experiment", "start_run", "log_metric", "set_tag", "end_run"):
        call = lambda *args, name=name, **more: module.calls.append((name, *args, *more.values()))  # noqa: E731
        setattr(module, name, call)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return module


def test_wandb_has_losses_over_steps_and_metrics_over_tasks(wandb):
    with logs_of("wandb:mine") as (log,):
        training(log, "axb")
    run = wandb.runs["mine"]
    assert run.axes == {"loss/*": "step", "task/*": "task/index"}
    assert [row["step"] for row in run.rows if "loss/a" in row] == [20, 25]
    tasks = [row for row in run.rows if "task/index" in row]
    assert [row["task/index"] for row in tasks] == [0, 1]
    assert all(row["task/accuracy"] > 0.9 for row in tasks)
    assert list(run.summary) == ["diverged/x"]
    assert "the loss is nan" in run.summary["diverged/x"]
    assert run.finished == 1


def test_mlflow_has_the_same_under_names_that_it_takes(mlflow):
    with logs_of("mlflow:mine") as (log,):
        training(log, "ax")
        log.trained("b", {"accuracy": 0.5})
        log.diverged(TrainingDiverged("no", task="t:1"))
    assert mlflow.calls[:2] == [("set_experiment", "mine"), ("start_run",)]
    assert mlflow.calls[-2:] == [("set_tag", "diverged/t_1", "no"), ("end_run",)]
    losses = [call for call in mlflow.calls if call[1:2] == ("loss/a",)]
    assert [step for *_, step in losses] == [20, 25]
    assert ("log_metric", "task/accuracy", 0.5, 1) in mlflow.calls


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_without_it_one_line_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(InvalidInput, match=rf"pip install 'supsup-store\[{name}\]'"),
        logs_of(f"{name}:mine"),
    ):
        pass


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("cvs:run.csv", "log: expected one of csv, tensorboard, wandb, mlflow, got 'cvs'"),
        ("run.csv", "got 'run.csv'"),
        ("csv:", "expected csv:PLACE"),
    ],
)
def test_what_is_no_log(log, message):
    with pytest.raises(InvalidInput, match=message), logs_of(log):
        pass


def test_a_tracker_that_refuses_is_one_line_and_the_others_are_closed(wandb, monkeypatch):
    def refuses(project):
        raise RuntimeError("no\naccount")

    with logs_of(["wandb:first"]):
        first = wandb.runs["first"]
    monkeypatch.setattr(wandb, "init", lambda project: first if project == "first" else refuses(0))
    with (
        pytest.raises(InvalidInput, match="wandb cannot begin a run: no account"),
        logs_of(["wandb:first", "wandb:second"]),
    ):
        pass
    assert first.finished == 2


class Kept(TrainingLog):
    """A log of a user's own."""

    def __init__(self) -> None:
        self.told = []

    def progress(self, progress):
        self.told.append(progress.name)

    def trained(self, name, metrics):
        self.told.append(f"{name} trained")

    def diverged(self, failure):
        self.told.append(f"{failure.task} diverged")

    def close(self):
        self.told.append("closed")


def test_the_front_door_tells_all_of_them(tmp_path):
    own, csv = Kept(), tmp_path / "run.csv"
    bad = Blobs(name="x")
    bad.x[:] = float("nan")
    with SupSup.create(tmp_path / "a.h5", small_lenet()) as model:
        model.train(Blobs(name="a"), steps=5, log=[f"csv:{csv}", own], quiet=True)
        with pytest.raises(TrainingDiverged):
            model.train([bad], steps=5, log=own, quiet=True)
        with pytest.raises(InvalidInput, match="got 'cvs'"):
            model.train(Blobs(name="b"), steps=5, log="cvs:run", quiet=True)
        assert list(model.tasks) == ["a"]
    assert own.told == ["a", "a trained", "x diverged"]  # and stays open: it is the caller's
    assert [line.split(",")[0] for line in csv.read_text().splitlines()] == ["task", "a"]
