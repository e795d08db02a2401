"""Names of choices are said once: the registries have these names, --help and errors list them."""

from typing import get_args

import numpy as np
import pytest
import typer

from hopfield import FORMS, RULES
from maskstore import MaskArchive
from maskstore import choices as stored
from maskstore.codecs import BY_NAME, PRESETS
from maskstore.errors import InvalidInput
from maskstore.registry import did_you_mean
from maskstore.seeded.weights import draw_weights
from supsup import choices, masking
from supsup.baselines import BASELINES
from supsup.choices import DEFAULT_NET
from supsup.datasets import SOURCES
from supsup.evaluation import SCENARIOS
from supsup.figures import FIGURES
from supsup.inference import METHODS, OBJECTIVES
from supsup.networks import NETS
from supsup.task_free import ALLOCATIONS
from supsup.tasks import TaskRecipe, families, family_names
from supsup.training.outliers import OUTLIER_KINDS
from supsup.training.trackers import LOGS
from supsup_store.app import app

REGISTRIES = {
    "codecs": (stored.CodecName, BY_NAME),
    "presets": (stored.PresetName, PRESETS),
    "nets": (choices.NetName, NETS),
    "data sets": (choices.DatasetName, SOURCES),
    "task rules": (choices.TaskRuleName, families.RULES),
    "families": (choices.FamilyName, family_names()),
    "scenarios": (choices.ScenarioName, SCENARIOS),
    "mask rules": (choices.MaskRuleName, masking.RULES),
    "methods": (choices.MethodName, METHODS),
    "objectives": (choices.ObjectiveName, OBJECTIVES),
    "allocations": (choices.AllocationName, ALLOCATIONS),
    "Hopfield rules": (choices.HopfieldRuleName, RULES),
    "Hopfield forms": (choices.HopfieldFormName, FORMS.keys() - {"quantised"}),
    "baselines": (choices.BaselineName, BASELINES),
    "figures": (choices.FigureName, FIGURES),
    "logs": (choices.LogName, LOGS),
    "outlier kinds": (choices.OutlierKindName, OUTLIER_KINDS),
}


@pytest.mark.parametrize("what", REGISTRIES)
def test_the_names_are_the_registrys_keys(what):
    names, registry = REGISTRIES[what]
    assert set(get_args(names)) == set(registry)
    assert len(set(get_args(names))) == len(get_args(names))


@pytest.mark.parametrize("init", get_args(choices.InitName))
def test_every_init_draws_weights(init):
    assert draw_weights("w", (3, 2), seed=0, init=init, fan_density=0.5).any()


ONE = ("--dataset", "split-mnist-sample", "--tasks", "1")

OPTIONS = [
    *((command, "codec", stored.CodecName) for command in ("add", "train", "learn", "compact")),
    *((command, "codec", stored.PresetName) for command in ("add", "train", "learn", "compact")),
    *((command, "net", choices.NetName) for command in ("create", "train", "learn", "compare")),
    ("create", "init", choices.InitName),
    ("train", "init", choices.InitName),
    *((command, "statistics", choices.StatisticsName) for command in ("create", "train")),
    ("train", "mask", choices.MaskRuleName),
    ("learn", "mask", choices.MaskRuleName),
    ("train", "budget", choices.BudgetName),
    *((command, "optimizer", choices.OptimizerName) for command in ("train", "learn")),
    *((command, "schedule", choices.ScheduleName) for command in ("train", "learn")),
    ("train", "transfer", choices.TransferName),
    ("train", "outlier_kind", choices.OutlierKindName),
    ("train", "precision", choices.PrecisionName),
    ("train", "engine", choices.EngineName),
    *((command, "dataset", choices.DatasetName) for command in ("train", "learn", "compare")),
    *((command, "dataset", choices.TaskRuleName) for command in ("train", "learn", "compare")),
    *((command, "labels", choices.LabelsName) for command in ("train", "learn", "compare")),
    *((command, "sampling", choices.SamplingName) for command in ("train", "learn")),
    ("learn", "allocation", choices.AllocationName),
    ("eval", "scenario", choices.ScenarioName),
    *((command, "method", choices.MethodName) for command in ("eval", "infer")),
    *((command, "objective", choices.ObjectiveName) for command in ("eval", "infer")),
    *((command, "mode", choices.ModeName) for command in ("eval", "infer")),
    ("encode", "rule", choices.HopfieldRuleName),
    ("compare", "rule", choices.HopfieldRuleName),
    ("recover", "recipe", choices.RecoveryName),
    ("encode", "form", choices.HopfieldFormName),
    ("import", "mask", choices.CheckpointName),
    ("reproduce", "figure", choices.FigureName),
]


@pytest.mark.parametrize(("command", "option", "names"), OPTIONS)
def test_help_lists_every_name(command, option, names):
    commands = typer.main.get_command(app).commands
    (parameter,) = (each for each in commands[command].params if each.name == option)
    words = parameter.help.replace(",", " ").replace(".", " ").replace(":", " ").split()
    missing = set(get_args(names)) - {word.strip(";()") for word in words}
    assert not missing


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("train", "a.h5", "--dataset", "split-mars"), choices.FamilyName),
        (("train", "a.h5", "--dataset", "split-mnist-sample", "--mask", "x"), choices.MaskRuleName),
        (("train", "a.h5", "--dataset", "split-mnist-sample", "--engine", "x"), choices.EngineName),
        (("train", "a.h5", "--dataset", "split-mnist-sample", "--codec", "x"), stored.CodecName),
        (("learn", "a.h5", "--dataset", "split-mnist-sample", "--net", "x"), choices.NetName),
        (("create", "a.h5", "--init", "x"), choices.InitName),
        (("reproduce", "x"), choices.FigureName),
    ],
)
def test_an_unknown_name_is_told_the_known_ones(arguments, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        app(arguments, standalone_mode=False)
    assert not [name for name in get_args(names) if name not in str(caught.value)]
    assert not list(tmp_path.iterdir())


NEARLY = {
    "family": (("train", "a.h5", "--dataset", "split-mnst-sample"), "split-mnist-sample"),
    "net": (("create", "a.h5", "--net", "lenet-300-10"), "lenet-300-100"),
    "init": (("create", "a.h5", "--init", "kaimin-normal"), "kaiming-normal"),
    "codec": (("train", "a.h5", *ONE, "--codec", "zstdd"), "zstd"),
    "preset": (("learn", "a.h5", *ONE, "--codec", "hystory"), "history"),
    "mask rule": (("train", "a.h5", *ONE, "--mask", "treshold"), "threshold"),
    "budget": (("train", "a.h5", *ONE, "--budget", "Erdos-Renyi"), "erdos-renyi"),
    "optimizer": (("train", "a.h5", *ONE, "--optimizer", "adm"), "adam"),
    "schedule": (("train", "a.h5", *ONE, "--schedule", "cosin"), "cosine"),
    "engine": (("train", "a.h5", *ONE, "--engine", "locl"), "local"),
    "allocation": (("learn", "a.h5", *ONE, "--allocation", "leve"), "level"),
    "figure": (("reproduce", "hopfeld"), "hopfield"),
    "scenario": (("eval", "{network}", "--scenario", "GNS"), "GNs"),
    "method": (("eval", "{network}", "--scenario", "GNs", "--method", "oneshot"), "one-shot"),
    "objective": (("eval", "{network}", "--scenario", "GNs", "--objective", "enrgy"), "energy"),
    "mode": (("eval", "{network}", "--scenario", "GNs", "--mode", "imgae"), "image"),
    "Hopfield rule": (("encode", "{network}", "--out", "m.h5", "--rule", "project"), "projection"),
}


@pytest.mark.parametrize("what", NEARLY)
def test_a_name_that_is_nearly_right_is_told_the_right_one(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, meant = NEARLY[what]
    app(("create", "network.h5", "--net", "bn-2048", "--outputs", "10"), standalone_mode=False)
    with MaskArchive.open("network.h5", "a") as archive:
        task = {"task": TaskRecipe(rule="split", dataset="mnist-sample", index=0).to_json()}
        masks = {name: np.ones(shape, bool) for name, shape in archive.layout.shapes.items()}
        archive.add("split-mnist/0", masks, task)
    before = set(tmp_path.iterdir())
    with pytest.raises(InvalidInput) as caught:
        app([each.format(network="network.h5") for each in arguments], standalone_mode=False)
    assert str(caught.value).endswith(f"; did you mean '{meant}'?")
    assert set(tmp_path.iterdir()) == before


def test_a_suggestion_among_very_many_is_never_far_fetched():
    names = [f"permuted-mnist/{index}" for index in range(100_000)]
    assert did_you_mean("permuted-mnst/73", names) == "; did you mean 'permuted-mnist/73'?"
    assert did_you_mean("Permuted-MNIST/99999", names) == "; did you mean 'permuted-mnist/99999'?"
    assert did_you_mean("rotated", names) == did_you_mean("", names) == did_you_mean("x", []) == ""


def test_the_default_net_is_one():
    assert DEFAULT_NET in NETS
