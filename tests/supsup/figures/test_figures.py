"""Each figure in miniature: its numbers beside those of the library's own functions."""

import json
from dataclasses import replace
from statistics import fmean

import pytest

from maskstore import MaskArchive
from maskstore.errors import ArchiveWriteError, InvalidInput
from supsup import BackboneRecipe, build
from supsup.archives import backbone_of, tasks_of
from supsup.baselines import BASELINES, BaselineConfig, evaluate_baseline
from supsup.datasets import load
from supsup.evaluation import GNU, evaluate_inferred
from supsup.figures import (
    BytesFigure,
    NnsFigure,
    OutputsFigure,
    PermutedFigure,
    RotatedFigure,
    TransferFigure,
    Workspace,
    reproduce,
)
from supsup.inference import MaskBank
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import sample_test

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@pytest.fixture
def no_training(monkeypatch):
    """From now on everything must be there."""

    def stop() -> None:
        def refuse(*_, **__):
            raise AssertionError("trained again")

        monkeypatch.setattr("supsup.archives.engine.iter_train_into", refuse)
        monkeypatch.setattr("supsup.figures.nns.learn_into", refuse)
        for baseline in BASELINES.values():
            monkeypatch.setattr(baseline, "_learn", refuse)

    return stop


def curves(rows, x):
    return {(row["curve"], row[x]): row["accuracy"] for row in rows}


def test_permuted(folder, no_training):
    figure, workspace = PermutedFigure(), Workspace(folder=folder)
    sizes = replace(figure.small, tasks=3, steps=20, outputs=(20,), images=40)
    document = reproduce(figure, sizes, workspace)
    found = curves(document["rows"], "tasks")
    assert len(found) == len(document["rows"]) == 5 * 2  # after 2 tasks and after 3
    (path,) = folder.glob("permuted-mnist-sample-lenet*.h5")
    with MaskArchive.open(path) as archive:
        assert archive.names() == [f"permuted-mnist/{at}" for at in range(3)]
        assert archive.task("permuted-mnist/0").metadata["training"]["optimizer"] == "rmsprop"
        backbone = backbone_of(archive)
        tasks = [sample_test(task, 40, seed=0) for task in tasks_of(archive)]
        for count in (2, 3):
            bank = MaskBank(backbone, archive.packed(archive.names()[:count]), classes=10)
            for letter, objective in (("H", "entropy"), ("G", "superfluous")):
                expected = evaluate_inferred(
                    GNU, bank, tasks[:count], method="one-shot", objective=objective
                ).accuracy
                assert found[f"SupSup (GNu, {letter})", count] == pytest.approx(expected)
    network = BackboneRecipe(net="lenet-300-100", outputs=10, init="kaiming-normal")
    config = BaselineConfig(steps=20, optimizer="rmsprop", lr=1e-4)
    psp = BASELINES["psp-rotation"](build(network), config)
    for count, task in enumerate(tasks, start=1):
        psp.learn(task)
        if count > 1:
            expected = evaluate_baseline(psp, tasks[:count]).accuracy
            assert found["PSP (GG)", count] == pytest.approx(expected)
    assert document["differences"] == [
        "dataset: permuted-mnist-sample here, permuted-mnist in the paper",
        "tasks: 3 here, 250 in the paper",
        "outputs: 20 here, 100 in the paper",
        "steps: 20 here, 1,000 in the paper",
        "images: 40 here, all in the paper",
        *figure.other,
    ]
    assert any("upper bound begins anew" in line for line in figure.other)
    assert (folder / "permuted-mnist.png").read_bytes().startswith(PNG)
    lines = figure.table(document["rows"])
    assert [line["tasks"] for line in lines] == [2, 3]
    assert lines[1]["SupSup (GNu, H)"] == found["SupSup (GNu, H)", 3]
    no_training()
    assert reproduce(figure, sizes, workspace)["rows"] == document["rows"]
    fewer = reproduce(OutputsFigure(), replace(sizes, tasks=2), workspace)[
        "rows"
    ]  # the same archive
    assert curves(fewer, "tasks") == {
        ("s = 20, H", 2): found["SupSup (GNu, H)", 2],
        ("s = 20, G", 2): found["SupSup (GNu, G)", 2],
    }


def test_curves_are_means_over_seeds(folder):
    figure, workspace = OutputsFigure(), Workspace(folder=folder)
    sizes = replace(figure.small, tasks=2, steps=10, outputs=(12, 20), images=20, seeds=(1, 2))
    rows = figure.measure(sizes, workspace)
    assert len(rows) == 2 * 2 * 2
    assert {row["seed"] for row in rows} == {1, 2}
    (line,) = figure.table(rows)
    of = [row["accuracy"] for row in rows if row["curve"] == "s = 12, H"]
    assert line["s = 12, H"] == fmean(of)
    assert list(line) == ["tasks", "s = 12, H", "s = 12, G", "s = 20, H", "s = 20, G"]


def test_a_seed_that_ended_counts_with_its_last_value():
    rows = [
        {"seed": seed, "curve": "a", "tasks": workspace, "accuracy": value}
        for seed, run in ((0, [4.0, 1.0]), (1, [8.0, 6.0, 5.0, 3.0]))
        for workspace, value in enumerate(run)
    ]
    lines = OutputsFigure().table(rows)
    assert lines == [{"tasks": at, "a": mean} for at, mean in enumerate([6.0, 3.5, 3.0, 2.0])]


FIGURES = (
    PermutedFigure(),
    RotatedFigure(),
    OutputsFigure(),
    NnsFigure(),
    TransferFigure(),
    BytesFigure(),
)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_what_a_figure_is_not_made_of_is_refused_before_training(figure, tmp_path, monkeypatch):
    def measured(*_):
        raise LookupError("it measures")

    monkeypatch.setattr(type(figure), "measure", measured)
    workspace, takes_any = Workspace(folder=tmp_path / "new"), figure.name in ("bytes", "transfer")
    for rule in ("split", "permuted", "rotated"):
        other = replace(figure.small, dataset=f"{rule}-mnist-sample")
        if rule == figure.rule or takes_any:
            with pytest.raises(LookupError, match="it measures"):
                reproduce(figure, other, workspace)
        else:
            message = f"--dataset {rule}-mnist-sample: figure {figure.name} is of {figure.rule} "
            with pytest.raises(InvalidInput, match=message + f"tasks, got '{rule}'; give"):
                reproduce(figure, other, workspace)
    few = replace(figure.small, images=20)
    with pytest.raises(InvalidInput if takes_any else LookupError, match="--images 20|measures"):
        reproduce(figure, few, workspace)


def test_the_plot_costs_no_measurement(tmp_path, monkeypatch):
    figure, rows = OutputsFigure(), [{"seed": 0, "curve": "a", "tasks": 2, "accuracy": 0.5}]
    monkeypatch.setattr(OutputsFigure, "measure", lambda *_: rows)
    folder = tmp_path / "new"
    with pytest.raises(InvalidInput, match="cannot draw there"):
        reproduce(figure, figure.small, Workspace(folder=folder), plot=tmp_path / "a.xyz")
    assert not folder.exists()
    with pytest.raises(ArchiveWriteError, match="cannot save the plot"):
        reproduce(figure, figure.small, Workspace(folder=folder), plot=tmp_path / "none" / "a.png")
    assert not (folder / "outputs.json").exists()  # said before anything was measured

    def full(*_):
        raise ArchiveWriteError("no space")

    with monkeypatch.context() as patched, pytest.raises(ArchiveWriteError, match="no space"):
        patched.setattr(OutputsFigure, "draw", full)
        reproduce(figure, figure.small, Workspace(folder=folder), plot=tmp_path / "a.png")
    assert json.loads((folder / "outputs.json").read_text())["rows"] == rows
    reproduce(figure, figure.small, Workspace(folder=folder), plot=tmp_path / "a.SVG")
    assert (tmp_path / "a.SVG").read_text().startswith("<?xml")


def test_rotated(folder, no_training, monkeypatch):
    figure, workspace, asked = RotatedFigure(), Workspace(folder=folder), []

    def spy(*arguments, **how):
        asked.append(how)
        return evaluate_inferred(*arguments, **how)

    monkeypatch.setattr("supsup.figures.curves_of_methods.evaluate_inferred", spy)
    sizes = replace(figure.small, tasks=2, steps=20, outputs=(20,), images=128)
    rows = figure.measure(sizes, workspace)
    assert asked == [{"method": "binary", "objective": "entropy", "mode": "batch"}]
    found = curves(rows, "degrees")
    assert {degrees for _, degrees in found} == {0, 10}
    assert len(found) == len(rows) == 5 * 2
    (path,) = folder.glob("rotated-mnist-sample-lenet-300-100-20-threshold*.h5")
    with MaskArchive.open(path) as archive:
        bank = MaskBank(backbone_of(archive), archive.packed(), classes=10)
        tasks = [sample_test(task, 128, seed=0) for task in tasks_of(archive)]
    expected = evaluate_inferred(GNU, bank, tasks, **asked[0])
    for degrees, row in zip((0, 10), expected.per_task, strict=True):
        assert found["SupSup (GNu, H, Binary, full batch)", degrees] == row.accuracy
    assert found["lower bound", 10] > 0.5  # the last task, which nothing disturbed
    assert found["upper bound", 0] > 0.5
    no_training()
    assert figure.measure(sizes, workspace) == rows


def test_nns_goes_on_after_a_kill(tmp_path, no_training):
    figure = NnsFigure()
    sizes = replace(figure.small, tasks=2, steps=80, outputs=(20,), images=30)
    whole = figure.measure(sizes, Workspace(folder=tmp_path / "whole"))
    found = curves(whole, "tasks")
    assert set(found) == {("SupSup (GNu, H)", 2), ("SupSup (NNs, H)", 2)}
    assert found["SupSup (NNs, H)", 2] > 0.4

    def kill(what: str, done: int, total: int) -> None:
        if what.startswith("learning"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        figure.measure(sizes, Workspace(folder=tmp_path / "cut", report=kill))
    assert list((tmp_path / "cut").glob("*.learning"))
    other = replace(sizes, images=20, seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):  # it goes on: what is learnt is the same
        figure.measure(other, Workspace(folder=tmp_path / "cut", report=kill))
    assert figure.measure(sizes, Workspace(folder=tmp_path / "cut")) == whole
    assert not list((tmp_path / "cut").glob("*.learning"))
    no_training()
    assert figure.measure(sizes, Workspace(folder=tmp_path / "cut")) == whole


def test_transfer(folder, no_training):
    figure, workspace = TransferFigure(), Workspace(folder=folder)
    sizes = replace(figure.small, tasks=3, steps=4, seeds=(0,))
    rows = figure.measure(sizes, workspace)
    found = curves(rows, "steps")
    assert len(found) == len(rows) == 3 * 3
    assert {steps for _, steps in found} == {1, 2, 4}
    (path,) = folder.glob("rotated-*-topk-adam-4-*-masks-seed0.h5")
    with MaskArchive.open(path) as archive:
        later = [task.metadata["metrics"]["accuracy"] for task in archive][1:]
    assert found["SupSup Transfer (mean of masks)", 4] == fmean(later)
    assert len({found[curve, 4] for curve, _ in found}) > 1
    no_training()
    assert figure.measure(sizes, workspace) == rows
    with pytest.raises(InvalidInput, match="at least 2"):
        figure.measure(replace(sizes, tasks=1), workspace)


def test_bytes(folder, no_training, monkeypatch):
    monkeypatch.setattr("supsup.figures.bytes.DENSITIES", (0.05, 0.5))
    figure, workspace = BytesFigure(), Workspace(folder=folder)
    sizes = replace(figure.small, tasks=2, steps=4)
    document = reproduce(figure, sizes, workspace)
    rows = {(row["curve"], row["density"]): row for row in document["rows"]}
    assert len(rows) == 2 * 2 + 4
    sparse, dense = rows["SupSup", 0.05], rows["SupSup", 0.5]
    assert sparse["bytes"] < dense["bytes"]
    paths = folder.glob("split-mnist-sample-2-lenet-300-100-2-topk-adam-4-erdos-renyi-0.5-seed0.h5")
    assert [path.stat().st_size for path in paths] == [dense["bytes"]]
    task = make_task(task_family("split-mnist-sample")[0], load("mnist-sample"))
    upper = BASELINES["upper-bound"](
        build(BackboneRecipe(net="lenet-300-100", outputs=2, init="kaiming-normal")),
        BaselineConfig(steps=4, optimizer="adam"),
    )
    upper.learn(task)
    assert rows["upper bound", None]["bytes"] == 2 * upper.bytes()
    rates = {
        path.name.split("-adam")[0].partition("100-")[2]: json.loads(path.read_text())
        for path in folder.glob("split-mnist-sample-lenet-300-100-*-adam-4-seed0.json")
    }
    assert {name: kept["settings"]["lr"] for name, kept in rates.items()} == {
        "separate-heads": 1e-3,
        "separate-heads-random": 1e-2,
        "batche": 1e-3,
        "upper-bound": 1e-3,
    }
    lines = figure.table(document["rows"] + [dict(dense, seed=1, accuracy=0.0)])
    assert len(lines) == 8
    assert {line["accuracy"] for line in lines} >= {dense["accuracy"] / 2, sparse["accuracy"]}
    assert (folder / "bytes.png").read_bytes().startswith(PNG)
    no_training()
    assert figure.measure(sizes, workspace) == document["rows"]
