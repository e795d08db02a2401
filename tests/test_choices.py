"""Names of choices are said once: the registries have these names, --help and errors list them."""

from typing import get_args

import pytest
import typer

from hopfield import FORMS, RULES
from maskstore import choices as stored
from maskstore.codecs import BY_NAME, PRESETS
from maskstore.errors import InvalidInput
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
from supsup.tasks import families, family_names
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
}


@pytest.mark.parametrize("what", REGISTRIES)
def test_the_names_are_the_registrys_keys(what):
    names, registry = REGISTRIES[what]
    assert set(get_args(names)) == set(registry)
    assert len(set(get_args(names))) == len(get_args(names))


@pytest.mark.parametrize("init", get_args(choices.InitName))
def test_every_init_draws_weights(init):
    assert draw_weights("w", (3, 2), seed=0, init=init, fan_density=0.5).any()


OPTIONS = [
    *((command, "codec", stored.CodecName) for command in ("add", "train", "learn", "compact")),
    *((command, "codec", stored.PresetName) for command in ("add", "train", "learn", "compact")),
    *((command, "net", choices.NetName) for command in ("create", "train", "learn", "compare")),
    ("create", "init", choices.InitName),
    ("train", "init", choices.InitName),
    ("train", "mask", choices.MaskRuleName),
    ("learn", "mask", choices.MaskRuleName),
    ("train", "budget", choices.BudgetName),
    *((command, "optimizer", choices.OptimizerName) for command in ("train", "learn")),
    *((command, "schedule", choices.ScheduleName) for command in ("train", "learn")),
    ("train", "transfer", choices.TransferName),
    ("train", "precision", choices.PrecisionName),
    ("train", "engine", choices.EngineName),
    *((command, "dataset", choices.DatasetName) for command in ("train", "learn", "compare")),
    *((command, "dataset", choices.TaskRuleName) for command in ("train", "learn", "compare")),
    ("learn", "allocation", choices.AllocationName),
    ("eval", "scenario", choices.ScenarioName),
    *((command, "method", choices.MethodName) for command in ("eval", "infer")),
    *((command, "objective", choices.ObjectiveName) for command in ("eval", "infer")),
    *((command, "mode", choices.ModeName) for command in ("eval", "infer")),
    ("encode", "rule", choices.HopfieldRuleName),
    ("compare", "rule", choices.HopfieldRuleName),
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


def test_the_default_net_is_one():
    assert DEFAULT_NET in NETS
