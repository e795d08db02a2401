"""The field's metrics: by hand, of masks that never change, and of baselines that forget."""

import csv
import json

import numpy as np
import pytest

from maskstore import InvalidInput, MaskArchive
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import create_archive, evaluate_archive, metrics_of_archive, train_into
from supsup.baselines import BASELINES, BaselineConfig, learn_and_measure
from supsup.datasets import load
from supsup.evaluation.metrics import ContinualMetrics
from supsup.tasks import make_task, task_family
from supsup_store.app import app


@pytest.fixture(scope="module")
def tasks():
    digits = load("mnist-sample")
    return [make_task(each, digits) for each in task_family("split-mnist-sample", 3)]


@pytest.fixture(scope="module")
def backbone():
    return build(BackboneRecipe(net="bn-2048", outputs=10, options={"width": 64}))


@pytest.fixture(scope="module")
def path(tmp_path_factory, tasks, backbone):
    path = tmp_path_factory.mktemp("metrics") / "a.h5"
    with create_archive(path, backbone) as archive:
        train_into(archive, backbone, tasks, TrainConfig(steps=15), parallel=1)
    return path


def test_by_hand():
    nan = float("nan")
    matrix = np.array([[0.8, 0.5, 0.4], [0.9, 0.7, 0.6], [0.6, 0.65, 0.9]])
    found = ContinualMetrics(names=("a", "b", "c"), matrix=matrix, untrained=np.full(3, 0.5))
    assert found.average_accuracy == pytest.approx((0.6 + 0.65 + 0.9) / 3)
    assert found.forgetting == pytest.approx(((0.9 - 0.6) + (0.7 - 0.65)) / 2)
    assert found.backward_transfer == pytest.approx(((0.6 - 0.8) + (0.65 - 0.7)) / 2)
    assert found.forward_transfer == pytest.approx(((0.5 - 0.5) + (0.6 - 0.5)) / 2)
    one = ContinualMetrics(
        names=("a",), matrix=np.array([[0.8]]), untrained=np.array([nan])
    ).to_json()
    assert one["forgetting"] is one["backward_transfer"] is one["forward_transfer"] is None
    with pytest.raises(InvalidInput, match="that was learnt has no accuracy"):
        ContinualMetrics(names=("a",), matrix=np.array([[nan]]), untrained=np.array([nan]))
    with pytest.raises(InvalidInput, match="expected accuracies of shape"):
        ContinualMetrics(names=("a", "b"), matrix=matrix, untrained=np.full(3, nan))


def test_masks_never_change_so_nothing_is_forgotten(path, backbone):
    with MaskArchive.open(path) as archive:
        found = metrics_of_archive(archive, backbone, archive.names())
        last = [row.accuracy for row in evaluate_archive(archive, backbone).per_task]
    assert found.matrix[-1].tolist() == last
    assert (found.forgetting, found.backward_transfer, found.forward_transfer) == (0.0, 0.0, None)
    assert np.isnan(found.matrix[np.triu_indices(3, 1)]).all()


def test_where_the_task_is_inferred_more_masks_are_more_to_be_mistaken_for(path, backbone):
    how = {"scenario": "GNu", "method": "exhaustive"}
    with MaskArchive.open(path) as archive:
        found = metrics_of_archive(archive, backbone, archive.names(), **how)
        last = [row.accuracy for row in evaluate_archive(archive, backbone, **how).per_task]
    assert found.matrix[-1].tolist() == last
    assert found.matrix[0, 0] > found.matrix[-1, 0]  # single images of dense masks
    assert found.forgetting > 0


@pytest.mark.parametrize(("name", "forgets"), [("lower-bound", True), ("separate-heads", False)])
def test_baselines_through_the_one_evaluator(tasks, backbone, name, forgets):
    baseline = BASELINES[name](backbone, BaselineConfig(steps=15))
    found = learn_and_measure(baseline, tasks)
    assert found.names == tuple(task.name for task in tasks)
    assert found.forgetting >= 0
    if not forgets:
        assert found.average_accuracy > 0.5
    assert len(found.seconds) == 3
    assert min(found.seconds) > 0
    assert (found.bytes[-1], found.task_accuracy) == (baseline.bytes(), None)
    assert 0 < found.bytes[0] < found.bytes[1] < found.bytes[2]


def test_on_the_command_line(path, capsys):
    app(["eval", str(path), "--metrics", "--json", "--quiet"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["forgetting"] == 0.0
    assert found["metrics"]["accuracy_matrix"][0][1:] == [None, None]
    assert found["metrics"]["average_accuracy"] == pytest.approx(found["accuracy"])
    app(["eval", str(path), "--metrics", "--quiet"], standalone_mode=False)
    assert "backward transfer" in capsys.readouterr().out


def test_the_matrix_as_csv_and_as_a_picture(path, capsys, tmp_path):
    plot = tmp_path / "matrix.svg"
    app(["eval", str(path), "--metrics", "--csv", "--plot", str(plot)], standalone_mode=False)
    first, *rows = csv.reader(capsys.readouterr().out.splitlines())
    with MaskArchive.open(path) as archive:
        names, size = archive.names(), archive.file_bytes
    assert first == ["after", "bytes", *names]
    assert [row[0] for row in rows] == names
    assert int(rows[0][1]) < int(rows[-1][1]) == size
    assert [cell == "" for cell in rows[1][2:]] == [False, False, True]
    assert plot.read_text().startswith("<?xml")
    app(["eval", str(path), "--csv"], standalone_mode=False)
    plain = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert plain[0] == ["task", "accuracy"]
    assert [row[1] for row in plain[1:]] == rows[-1][2:]


def test_where_the_task_is_found_it_is_told_how_often(path, backbone):
    with MaskArchive.open(path) as archive:
        how = {"scenario": "GNu", "mode": "batch"}
        found = metrics_of_archive(archive, backbone, archive.names(), **how)
        assert found.task_accuracy == evaluate_archive(archive, backbone, **how).task_accuracy
