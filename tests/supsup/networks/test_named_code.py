"""Networks whose code is elsewhere: in the current folder, or torchvision's (a stand-in for it)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskstore import InvalidInput
from supsup import BackboneRecipe, build
from supsup.networks.named_code import maker_of

NET = """
from torch import nn

def make(outputs, width=8):
    import helper_of_my_net
    return helper_of_my_net.net(width, outputs)
"""
HELPER = """
from torch import nn

def net(width, outputs):
    return nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, outputs))
"""
TORCHVISION = """
from torch import nn

def list_models(module=None):
    return ["resnet18", "vgg11", "googlenet"] + ([] if module else ["raft_large"])

def get_model(name, *, weights, num_classes, width=4, **options):
    assert weights is None
    if name == "googlenet":
        width = 5 if options == {"aux_logits": False, "init_weights": False} else 9
    layers = nn.Linear(12, width), nn.ReLU(), nn.Linear(width, num_classes)
    return nn.Sequential(nn.Flatten(), *layers)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder from which nothing is imported yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("my_", "helper_of_my", "torchvision")):
            del sys.modules[name]


def recipe(net: str, **options: int) -> BackboneRecipe:
    return BackboneRecipe(net=net, outputs=3, options=options)


def test_a_file_in_the_current_folder_is_found_and_leaves_no_trace(folder):
    (folder / "my_net.py").write_text(NET)
    (folder / "helper_of_my_net.py").write_text(HELPER)
    path = list(sys.path)
    backbone = build(recipe("my_net:make", width=5), allow_code=True)
    assert backbone.layout.shapes == {"0.weight": (5, 784), "2.weight": (3, 5)}
    assert sys.path == path
    with pytest.raises(InvalidInput, match="trust"):
        build(recipe("my_net:make"))


def test_it_is_found_by_the_command_line_and_trusted_only_where_it_is_named(tmp_path):
    (tmp_path / "my_net.py").write_text(NET)
    (tmp_path / "helper_of_my_net.py").write_text(HELPER)
    code = "import sys; sys.path = [p for p in sys.path if p]; " + (
        "from supsup_store.main import main; main()"
    )

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    train = ("train", "a.h5", "--dataset", "permuted-mnist-sample", "--tasks", 1, "--steps", 2)
    assert run(*train, "--net", "my_net:make", "--outputs", 10).returncode == 0
    refused = run("eval", "a.h5")
    assert refused.returncode == 1
    assert "--net my_net:make" in refused.stderr
    assert run("eval", "a.h5", "--net", "my_net:make").returncode == 0


@pytest.mark.parametrize(
    ("net", "match"),
    [
        ("my_other_net:make", "cannot import module 'my_other_net'.*folder of its file"),
        ("my_net:none", "no function 'none'"),
        ("my_broken_net:make", "cannot import module 'my_broken_net'"),
        (":make", "cannot import"),
        ("my_net:", "no function ''"),
    ],
)
def test_what_is_not_there(net, match, folder):
    (folder / "my_net.py").write_text(NET)
    (folder / "my_broken_net.py").write_text("import my_lost_module")
    with pytest.raises(InvalidInput, match=match):
        build(recipe(net), allow_code=True)


@pytest.mark.parametrize("form", ["my_net.py", "my_net/__init__.py"])
def test_two_modules_of_one_name_are_named_and_neither_is_run(form, folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("installed")
    for root, file in ((folder, form), (elsewhere, "my_net.py")):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text("raise AssertionError('run')")
    sys.path.append(str(elsewhere))
    with pytest.raises(InvalidInput, match="both.*installed.*rename yours"):
        maker_of("my_net:make")


def test_a_file_there_takes_no_installed_packages_place(folder):
    (folder / "my_net.py").write_text("import wave\nmake = wave.open")
    (folder / "wave.py").write_text("raise AssertionError('run')")
    before = sys.modules.pop("wave", None)
    assert maker_of("my_net:make")
    assert not Path(str(sys.modules["wave"].__file__)).is_relative_to(folder)
    if before is not None:
        sys.modules["wave"] = before


def stand_in(folder: Path, text: str = TORCHVISION) -> None:
    (folder / "site" / "torchvision").mkdir(parents=True)
    (folder / "site" / "torchvision" / "__init__.py").write_text("")
    (folder / "site" / "torchvision" / "models.py").write_text(text)
    sys.path.insert(0, str(folder / "site"))


def test_a_classifier_of_torchvision_by_name(folder):
    stand_in(folder)
    backbone = build(recipe("torchvision:resnet18", width=6))  # no code of the archive's is run
    assert backbone.layout.shapes == {"1.weight": (6, 12), "3.weight": (3, 6)}
    for net, options, match in (
        ("torchvision:resnet81", {}, "no classifier 'resnet81'.*resnet18"),
        ("torchvision:raft_large", {}, "no classifier"),
        ("torchvision:resnet18", {"weights": 1}, "does not take"),
    ):
        with pytest.raises(InvalidInput, match=match):
            build(recipe(net, **options))


def test_a_classifier_with_auxiliary_heads_is_made_without(folder):
    """In training it would give their logits as well; who asks for them is told so then."""
    stand_in(folder)
    assert build(recipe("torchvision:googlenet")).layout.shapes["1.weight"] == (5, 12)
    asked = build(recipe("torchvision:googlenet", aux_logits=True))
    assert asked.layout.shapes["1.weight"] == (9, 12)


@pytest.mark.parametrize(
    "text", ["import my_lost_module", "raise RuntimeError('operator nms does not exist\\nmore')"]
)
def test_without_a_torchvision_that_works_one_line_says_so(text, folder):
    stand_in(folder, text)
    with pytest.raises(InvalidInput, match=r"supsup-store\[torchvision\]") as caught:
        build(recipe("torchvision:resnet18"))
    assert os.linesep not in str(caught.value)
