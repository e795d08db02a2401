"""Weights that are kept for tasks that are asked for again: bounded, and never those of before."""

import numpy as np
import pytest
import torch

from maskstore import TaskNotFound, compact
from supsup import SupSup
from supsup.archives.served import TaskWeights
from tests.supsup.helpers import small_lenet


@pytest.fixture
def model(tmp_path):
    rng = np.random.default_rng(0)
    with SupSup.create(tmp_path / "a.h5", small_lenet()) as model:
        for name in "abc":
            shapes = model.archive.layout.shapes
            masks = {layer: rng.random(shape) < 0.5 for layer, shape in shapes.items()}
            model.archive.add(name, masks, {"classes": 2})
        yield model


def counted(monkeypatch, archive) -> list[str]:
    """The names of the tasks whose masks are decoded."""
    decoded: list[str] = []
    get_packed = archive.get_packed
    monkeypatch.setattr(
        archive, "get_packed", lambda name: (decoded.append(name), get_packed(name))[1]
    )
    return decoded


def test_they_are_those_of_the_mask(model):
    kept = TaskWeights(model.archive, model.backbone)
    for name in "abca":
        expected = model.backbone.of_task(model.archive.get(name), model.archive.tensors(name))
        found = kept.of(name)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[layer], expected[layer]) for layer in expected)
    with pytest.raises(TaskNotFound):
        kept.of("d")


def test_each_mask_is_decoded_once_while_it_fits(model, monkeypatch):
    decoded = counted(monkeypatch, model.archive)
    kept = TaskWeights(model.archive, model.backbone, weight_bytes=0)
    assert kept.of("a") is kept.of("a")
    assert kept.of("b") is not kept.of("a")
    assert decoded == ["a", "b"]
    small = TaskWeights(model.archive, model.backbone, packed_bytes=0, weight_bytes=0)
    for name in "abab":
        small.of(name)
    assert decoded == [*"ab", *"abab"]


def test_a_task_that_is_another_now_is_answered_as_it_is_now(model):
    x = torch.rand(4, 20, dtype=torch.float32, device="cpu")
    before = {name: model.predict(x, name).probabilities for name in "ab"}
    masks = model.archive.get("b")
    model.archive.remove("a")
    with pytest.raises(TaskNotFound):
        model.predict(x, "a")
    model.archive.add("a", masks, {"classes": 2})
    assert np.array_equal(model.predict(x, "a").probabilities, before["b"])
    assert not np.array_equal(before["a"], before["b"])


def asked(model):
    """Leaves all that is kept."""
    model.predict(X, NAMES)
    model.infer(X)


def compacted(model, masks):
    """Another mask under a name, at a commit of the number that the archive had when asked."""
    asked(model)
    before = model.archive.store.slot.generation
    compact(model.archive)
    model.archive.remove("a")
    model.archive.add("a", masks, {"classes": 2})
    while model.archive.store.slot.generation < before:
        model.archive.update("c", {"classes": 2, "at": model.archive.store.slot.generation})
    assert model.archive.store.slot.generation == before


def given_up(model, masks):
    """A transaction that asks for another mask under a name, and is undone."""

    class Undone(Exception):
        pass

    with pytest.raises(Undone), model.archive.transaction():
        model.archive.remove("a")
        model.archive.add("a", masks, {"classes": 2})
        asked(model)
        raise Undone


X = torch.linspace(0, 1, 120, dtype=torch.float32, device="cpu").reshape(6, 20)
NAMES = ("a", "b") * 3


@pytest.mark.parametrize("change", [compacted, given_up])
def test_what_is_kept_is_of_the_archive_as_it_is(model, change):
    change(model, model.archive.get("b"))
    with SupSup.open(model.archive.path, model.backbone) as anew:
        expected, found = anew.predict(X, NAMES), model.predict(X, NAMES)
        assert np.array_equal(found.probabilities, expected.probabilities)
        assert np.array_equal(model.infer(X).evidence, anew.infer(X).evidence)
