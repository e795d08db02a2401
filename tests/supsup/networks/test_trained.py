import pickle
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from maskstore.errors import InvalidInput
from supsup import Backbone, BackboneRecipe, build
from supsup.networks.weights_file import WeightsFile, read_weights, sha256_of_file
from tests.supsup.helpers import as_users_run_it
from tests.supsup.networks.trained_net import NET, make_net, make_normed, train_net

FILES = ("net.pt", "net.safetensors", "checkpoint.pt")


@pytest.fixture
def net(tmp_path):
    return train_net(tmp_path)


def recipe(weights, **fields) -> BackboneRecipe:
    return BackboneRecipe(net=NET, outputs=4, seed=3, weights=weights, **fields)


@pytest.mark.parametrize("file", FILES)
def test_weights_of_a_file_are_those_of_the_module_in_every_form(net, tmp_path, file):
    over_file = build(recipe(tmp_path / file), allow_code=True)
    for name, value in net.named_parameters():
        assert torch.equal(over_file.module.get_parameter(name), value)
        assert not over_file.module.get_parameter(name).requires_grad
    assert over_file.digest == Backbone.pretrained(net).digest
    assert over_file.digest == Backbone.pretrained(make_net(4), weights=tmp_path / file).digest
    assert over_file.trained == set(dict(net.named_parameters()))


def test_parameters_that_no_pattern_matches_are_from_the_seed(net, tmp_path):
    seeded = build(BackboneRecipe(net=NET, outputs=4, seed=3), allow_code=True)
    file = WeightsFile.of(tmp_path / "net.pt", parameters=["first.*"])
    mixed = build(recipe(file), allow_code=True)
    assert torch.equal(mixed.module.first.weight, net.first.weight)
    assert torch.equal(mixed.module.first.bias, net.first.bias)
    assert torch.equal(mixed.module.second.weight, seeded.module.second.weight)
    assert mixed.trained == {"first.weight", "first.bias"}
    own = Backbone.pretrained(net, parameters=["first.*"], seed=3)
    assert own.digest == mixed.digest
    whole = build(recipe(tmp_path / "net.pt"), allow_code=True)
    assert mixed.digest not in {seeded.digest, whole.digest}


def test_what_is_trained_goes_along_to_copies(net):
    backbone = Backbone.pretrained(net)
    assert backbone.replica().trained == backbone.trained
    assert backbone.to("cpu").trained == backbone.trained
    assert Backbone.from_module(net, seed=0).trained == set()


def test_the_module_stays_as_it_is(net):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    backbone = Backbone.pretrained(net)
    with torch.no_grad():
        net.first.weight.zero_()
    assert torch.equal(backbone.module.first.weight, before["first.weight"])
    assert net.first.weight.requires_grad


def test_from_module_says_that_it_draws_the_weights():
    (note,) = Backbone.from_module(nn.Linear(3, 2), seed=7).notes
    assert "seed 7" in note
    assert "Backbone.pretrained" in note
    assert Backbone.pretrained(nn.Linear(3, 2)).notes == ()


def test_a_recipe_keeps_the_file_s_name_size_and_sha256_only(net, tmp_path):
    path = tmp_path / "net.pt"
    made = recipe(path)
    assert made.to_json()["weights"] == {
        "file": "net.pt",
        "bytes": path.stat().st_size,
        "sha256": sha256_of_file(path),
        "parameters": ["*"],
    }
    assert BackboneRecipe.from_json(made.to_json()) == made == pickle.loads(pickle.dumps(made))
    assert "weights" not in replace(made, weights=None).to_json()
    assert hash(made) == hash(BackboneRecipe.from_json(made.to_json()))


def bad_state(state, change):
    """A state_dict that is not right for the network."""
    if change == "missing":
        del state["second.bias"]
    elif change == "shape":
        state["second.weight"] = torch.zeros(5, 16)
    elif change == "spare":
        state["third.weight"] = torch.zeros(2, 2)
    elif change == "nan":
        state["first.weight"][0, 0] = float("nan")
    elif change == "integers":
        state["first.bias"] = torch.zeros(16, dtype=torch.int64)
    elif change == "empty":
        state.clear()
    return state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("missing", r"lacks 'second\.bias' of the network.*--weights-for"),
        ("shape", r"'second\.weight': the network's is of shape \(4, 16\), found \(5, 16\)"),
        ("spare", r"has 'third\.weight', for which the network has no place"),
        ("nan", r"'first\.weight': 1 of 320 values are NaN"),
        ("integers", r"'first\.bias': expected floating-point numbers, got torch\.int64"),
        ("empty", "expected the tensors of a network, found none"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_do_not_fit_are_refused_in_one_line(net, tmp_path, change, said, suffix):
    path, state = tmp_path / f"bad{suffix}", bad_state(dict(net.state_dict()), change)
    torch.save(state, path) if suffix == ".pt" else save_file(state, path)
    for made in (
        lambda: build(recipe(path), allow_code=True),
        lambda: Backbone.pretrained(make_net(4), weights=path),
    ):
        with pytest.raises(InvalidInput, match=said) as found:
            made()
        assert "\n" not in str(found.value)
        assert "bad" in str(found.value)


def behind(prefix, state):
    return {prefix + name: value for name, value in state.items()}


FORMS = {
    "DataParallel": lambda state: behind("module.", state),
    "torch.compile": lambda state: behind("_orig_mod.", state),
    "both": lambda state: behind("module._orig_mod.", state),
    "an attribute": lambda state: behind("model.", state),
    "an attribute's attribute": lambda state: behind("learner.net.", state),
    "order and layout": lambda state: {
        name: value.t().contiguous().t() for name, value in reversed(state.items())
    },
}
"""How the same weights lie in files that other code wrote."""
NESTED = {
    "a checkpoint": lambda state: {"epoch": 1, "state_dict": state, "optimizer": {"state": {}}},
    "of the tutorials": lambda state: {"model_state_dict": state, "loss": 0.3},
    "of Lightning": lambda state: {"state_dict": behind("model.", state), "loops": {"fit": 1}},
    "another name": lambda state: {"net": state, "acc": 9},
    "beside another's average": lambda state: {"model": state, "ema": behind("x.", state)},
    "views of one tensor": lambda state: dict(zip(state, _views(state), strict=True)),
    "parameters": lambda state: {name: nn.Parameter(value) for name, value in state.items()},
}


def _views(state):
    whole = torch.cat([value.flatten() for value in state.values()])
    sizes = [value.numel() for value in state.values()]
    parts = whole.split(sizes)
    return [part.view(value.shape) for part, value in zip(parts, state.values(), strict=True)]


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        *((form, suffix) for form in FORMS for suffix in (".pt", ".safetensors")),
        *((form, ".pt") for form in NESTED),
    ],
)
def test_the_same_weights_in_another_form_are_the_same(net, tmp_path, form, suffix):
    path = tmp_path / f"w{suffix}"
    state = (FORMS | NESTED)[form](dict(net.state_dict()))
    if suffix == ".pt":
        torch.save(state, path)
    else:
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    expected = Backbone.pretrained(net).digest
    assert build(recipe(path), allow_code=True).digest == expected
    assert Backbone.pretrained(make_net(4), weights=path).digest == expected


def test_a_network_that_is_called_module_keeps_its_names(net, tmp_path):
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = make_net(4)

    around = Around()
    around.module.load_state_dict(net.state_dict())
    for path in (tmp_path / "w.pt", tmp_path / "inner.pt"):
        state = around.state_dict() if path.stem == "w" else behind("module.", around.state_dict())
        torch.save(state, path)
        made = Backbone.pretrained(Around(), weights=path)
        assert torch.equal(made.module.module.first.weight, net.first.weight)


def test_behind_a_prefix_only_what_a_pattern_matches_is_taken(net, tmp_path):
    state = behind("model.", net.state_dict())
    del state["model.second.weight"]  # a head of another width, left out
    torch.save(state, tmp_path / "w.pt")
    made = Backbone.pretrained(make_net(4), weights=tmp_path / "w.pt", parameters=["first.*"])
    assert made.trained == {"first.weight", "first.bias"}
    with pytest.raises(InvalidInput, match=r"lacks 'first\.weight'.*it has 'model\.first"):
        Backbone.pretrained(make_net(4), weights=tmp_path / "w.pt")


def tied_net():
    net = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 2))
    net[2].weight = net[0].weight
    return net


@pytest.mark.parametrize("left_out", ["none", "0.weight", "2.weight"])
def test_tied_weights_are_found_under_either_name(tmp_path, left_out):
    """safetensors stores them once, under a name that it chooses."""
    net = tied_net()
    state = {name: each.clone() for name, each in net.state_dict().items() if name != left_out}
    save_file(state, tmp_path / "w.safetensors")
    made = Backbone.pretrained(tied_net(), weights=tmp_path / "w.safetensors")
    assert made.digest == Backbone.pretrained(net).digest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda net: net, "not a checkpoint of tensors alone.*c.state_dict()"),
        (lambda net: {"model": net}, "not a checkpoint of tensors alone.*c.state_dict()"),
        (lambda net: {"student": net.state_dict(), "teacher": net.state_dict()}, "several.*'stud"),
        (
            lambda net: behind("a.", net.state_dict()) | behind("b.", net.state_dict()),
            r"more than once, behind 'a\.', 'b\.'",
        ),
        (lambda net: torch.optim.SGD(net.parameters()).state_dict(), "none among 'state', 'param"),
        (
            lambda net: {name: each.numpy() for name, each in net.state_dict().items()},
            "found none among 'first.weight'",
        ),
        (
            lambda net: net.state_dict() | {"first.bias": torch.zeros(1).expand(16)},
            r"w\.pt: tensor 'first.bias': 16 numbers by its shape \(16,\), 1 in the file",
        ),
        (lambda net: list(net.state_dict().values()), "expected a state_dict, found list"),
    ],
    ids=["module", "with a module", "two", "prefixes", "optimizer", "arrays", "expanded", "list"],
)
def test_a_file_that_is_no_network_s_tensors_is_one_line(net, tmp_path, content, said):
    torch.save(content(make_net(4)), tmp_path / "w.pt")
    with pytest.raises(InvalidInput, match=said) as found:
        Backbone.pretrained(net, weights=tmp_path / "w.pt")
    assert "\n" not in str(found.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_file_is_one_line(net, tmp_path):
    torch.jit.script(nn.Linear(3, 2)).save(tmp_path / "w.pt")
    with pytest.raises(InvalidInput, match=r"w\.pt: a scripted module.*torch\.jit\.load"):
        Backbone.pretrained(net, weights=tmp_path / "w.pt")


def test_tied_weights_with_two_values_are_refused(tmp_path):
    state = {name: each.clone() for name, each in tied_net().state_dict().items()}
    state["2.weight"] += 1
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InvalidInput, match=r"'0\.weight' and '2\.weight' differ"):
        Backbone.pretrained(tied_net(), weights=tmp_path / "w.pt")


def test_statistics_that_a_backbone_does_not_keep_are_passed_over(tmp_path):
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    torch.save(module.state_dict(), tmp_path / "bn.pt")
    made = Backbone.pretrained(module, weights=tmp_path / "bn.pt")
    assert torch.equal(made.module.get_parameter("0.weight"), module.get_parameter("0.weight"))


def test_frozen_statistics_are_those_of_the_file_or_refused(tmp_path):
    module = make_normed(3)
    module(torch.randn(50, 20) + 2)
    torch.save(module.state_dict(), tmp_path / "bn.pt")
    net = "tests.supsup.networks.trained_net:make_normed"
    recipe = BackboneRecipe(
        net=net, outputs=3, weights=tmp_path / "bn.pt", statistics="frozen", maskable=["0.weight"]
    )
    backbone, x = build(recipe, allow_code=True), torch.randn(1, 20)
    module.eval()
    whole = {"0.weight": torch.ones(8, 20, dtype=torch.bool)}
    torch.testing.assert_close(backbone.logits(x, whole), module(x))
    state = {name: each for name, each in module.state_dict().items() if "running" not in name}
    torch.save(state, tmp_path / "bare.pt")
    with pytest.raises(InvalidInput, match=r"bare\.pt: lacks '1\.running_mean'"):
        build(replace(recipe, weights=tmp_path / "bare.pt"), allow_code=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_floats_become_float32(tmp_path, dtype):
    state = {name: value.to(dtype) for name, value in nn.Linear(4, 2).state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    made = Backbone.pretrained(nn.Linear(4, 2), weights=tmp_path / "w.safetensors")
    assert torch.equal(made.module.weight, state["weight"].float())


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.safetensors", "w"])
@pytest.mark.parametrize("zipped", [True, False, None], ids=["zip", "pickle", "safetensors"])
def test_what_a_file_is_its_bytes_say(tmp_path, name, zipped):
    state = {"weight": torch.arange(8.0).reshape(4, 2)}
    if zipped is None:
        save_file(state, tmp_path / name)
    else:
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_weights(tmp_path / name)["weight"], state["weight"])


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_of_something_else_is_one_line(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=re.escape(name)):
        read_weights(tmp_path / name)


def test_a_pattern_that_matches_nothing_is_refused(net):
    with pytest.raises(InvalidInput, match=r"no parameter matches 'frist\.\*'"):
        Backbone.pretrained(net, parameters=["frist.*"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", "../net.pt"),
        ("file", ""),
        ("bytes", -1),
        ("bytes", "1"),
        ("sha256", "ab"),
        ("sha256", "X" * 64),
        ("parameters", []),
        ("parameters", "first"),
        ("parameters", [1]),
        ("other", 1),
    ],
)
def test_a_recipe_s_weights_are_checked(field, value):
    good = {"file": "net.pt", "bytes": 1, "sha256": "0" * 64, "parameters": ["*"]}
    said = "expected an object" if field == "other" else field
    with as_users_run_it(), pytest.raises(InvalidInput, match=f"weights.*{said}"):
        BackboneRecipe(net=NET, outputs=4, weights=good | {field: value})


@pytest.mark.parametrize("where", ["path", "beside", "folder", "variable", "current"])
def test_a_file_is_found_again(net, tmp_path, monkeypatch, where):
    kept = WeightsFile.of(tmp_path / "net.pt")
    known = WeightsFile.from_json(kept.to_json())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    beside = []
    if where == "path":
        known = kept
    elif where == "beside":
        beside = [tmp_path]
    elif where == "folder":
        monkeypatch.setenv("SUPSUP_WEIGHTS", str(tmp_path))
    elif where == "variable":
        (tmp_path / "net.pt").rename(tmp_path / "renamed.pt")
        monkeypatch.setenv("SUPSUP_WEIGHTS", str(tmp_path / "renamed.pt"))
    else:
        monkeypatch.chdir(tmp_path)
    found = known.found(beside)
    assert sha256_of_file(found.path) == known.sha256


def test_a_missing_or_other_file_is_one_line_with_both_sha256(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, path = recipe(tmp_path / "net.pt"), tmp_path / "net.pt"
    wanted = made.weights_file.sha256
    path.unlink()
    with pytest.raises(InvalidInput, match=f"found none of the name 'net.pt', wanted .*{wanted}"):
        build(made, allow_code=True)
    path.write_bytes(b"another")
    other = sha256_of_file(path)
    with pytest.raises(InvalidInput, match=f"has SHA-256 {other}, wanted SHA-256 {wanted}"):
        build(made, allow_code=True)
