"""A user's code that computes something else than when masks were trained is noticed, not used."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from maskstore import MaskArchive
from maskstore.errors import DigestMismatch
from supsup import BackboneRecipe, SupSup, TensorTask, TrainConfig, build
from supsup.archives import bank_of, evaluate_archive, train_into
from supsup.archives.prediction import predict_with
from supsup.networks.answer import Answer, kind_of
from supsup.task_free import Learner, StreamBatch, learn_into

OUTSIDE = torch.rand(6)
TURN = torch.relu


class Listed(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.layer = nn.Linear(6, outputs)
        self.scale = [torch.rand(6)]

    def forward(self, x):
        return self.layer(x * self.scale[0])


class Closed(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.layer = nn.Linear(6, outputs)
        scale = torch.rand(6)
        self.before = lambda x: x * scale

    def forward(self, x):
        return self.layer(self.before(x))


class Outside(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.layer = nn.Linear(6, outputs)

    def forward(self, x):
        return self.layer(x * OUTSIDE)


class Turned(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, outputs)

    def forward(self, x):
        return self.last(TURN(self.first(x)))


class Pair(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.rows, self.layer = nn.Embedding(5, 6), nn.Linear(6, outputs)

    def forward(self, x, ids):
        return self.layer(TURN(x * self.rows(ids).mean(1)))


def task(name="own", two=False):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(32, 6, generator=draw)
    data = ((x, torch.arange(96).view(32, 3) % 5) if two else x, (x[:, 0] > 0).long())
    return TensorTask(name, train=data, test=data)


def fresh(monkeypatch):
    """What another process, or another day, would have."""
    monkeypatch.setattr(f"{__name__}.OUTSIDE", torch.rand(6))
    monkeypatch.setattr(f"{__name__}.TURN", torch.tanh)


MODULES = {"list": Listed, "closure": Closed, "global": Outside, "code": Turned, "two": Pair}


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_that_computes_otherwise_is_refused(tmp_path, monkeypatch, kind):
    two, path = kind == "two", tmp_path / "a.h5"
    module = MODULES[kind]()
    with SupSup.create(path, module) as model:
        model.train(task(two=two), steps=5, quiet=True)
        before = model.evaluate(task(two=two)).accuracy
    with SupSup.open(path, module) as model:
        assert model.evaluate(task(two=two)).accuracy == before
    fresh(monkeypatch)
    kept = path.read_bytes()
    with pytest.raises(DigestMismatch, match="answers otherwise than when task 'own'"):
        SupSup.open(path, MODULES[kind]())
    assert path.read_bytes() == kept


USES = {
    "train": lambda a, b: train_into(a, b, [task("more")], TrainConfig(steps=2)),
    "evaluate": lambda a, b: evaluate_archive(a, b, tasks=[task()]),
    "bank": bank_of,
    "predict": lambda a, b: predict_with(a, b, next(task().test_batches(8))[0], "own"),
    "learn": lambda a, b: list(learn_into(a, Learner(b, TrainConfig(steps=2), classes=2), [])),
}


@pytest.mark.parametrize("use", USES)
def test_every_use_of_changed_code_is_refused(tmp_path, monkeypatch, use):
    recipe = BackboneRecipe(net=f"{__name__}:Turned", outputs=2)
    with SupSup.create(tmp_path / "a.h5", recipe) as model:
        model.train(task(), steps=5, quiet=True)
        USES[use](model.archive, build(recipe, allow_code=True))  # the same code may
    fresh(monkeypatch)
    changed = build(recipe, allow_code=True)
    with MaskArchive.open(tmp_path / "a.h5", "a") as archive:
        names = archive.names()
        with pytest.raises(DigestMismatch, match="its code was changed since"):
            USES[use](archive, changed)
        assert archive.names() == names


def test_masks_of_a_stream_keep_an_answer_too(tmp_path, monkeypatch):
    recipe = BackboneRecipe(net=f"{__name__}:Turned", outputs=2)
    x, y = next(iter(task().test_batches(8)))
    with SupSup.create(tmp_path / "a.h5", recipe) as model:
        learner = Learner(model.backbone, TrainConfig(steps=2), classes=2)
        list(learn_into(model.archive, learner, [StreamBatch(images=x, labels=y)] * 8))
    fresh(monkeypatch)
    with pytest.raises(DigestMismatch, match="answers otherwise than when task 'nns/0'"):
        SupSup.open(tmp_path / "a.h5", recipe)


def test_rounding_is_no_other_answer():
    backbone = build(BackboneRecipe(net=f"{__name__}:Turned", outputs=2), allow_code=True)
    masks = {name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()}
    answer = Answer.of(backbone, kind_of(torch.zeros(1, 6)), 2, masks, {})
    assert answer is not None
    assert len(answer.logits) == 4
    assert Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer
    size = max(map(abs, answer.logits))
    for off, same in ((0.005, True), (0.02, False)):
        moved = Answer(inputs=answer.inputs, logits=tuple(a + off * size for a in answer.logits))
        assert moved.same(backbone, masks, {}) is same


FORGED_INPUTS = [
    3, [], {}, [[]], ["float32", "6"], ["nothing", 6], ["Tensor", 6], ["float32", 2**40],
    ["float32", -6], ["float32", True], {"x": 3}, [["float32", 6], 3], ["float32", 2**20, 2**20],
]  # fmt: skip
FORGED = [
    *({"inputs": inputs, "logits": [1, 2]} for inputs in FORGED_INPUTS),
    *({"inputs": ["float32", 6], "logits": it} for it in ([], ["1", 2], [1], None, [True, 1])),
    *(None, 3, {}),
]


@pytest.mark.parametrize("forged", FORGED, ids=repr)
def test_what_is_no_answer_is_none(forged):
    assert Answer.from_json(forged) is None
