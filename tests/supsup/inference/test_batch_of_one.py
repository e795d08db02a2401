"""Networks that take statistics of the batch, given one image: one line, wherever it happens."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from maskstore.errors import InvalidInput
from maskstore.packed import PackedMasks
from supsup import Backbone, SupSup, TensorTask, TrainConfig, accuracy, build, train
from supsup.archives import create_archive
from supsup.inference import MaskBank, auto, infer_in
from supsup.inference.methods.shortlist import evidence_on
from supsup.inference.objectives import Entropy
from supsup.inference.query import Query
from supsup.networks.neighbours import NeedsNeighbours, mixes_images
from tests.supsup.helpers import Blobs, small_bn

BLOBS = Blobs(classes=4)
NETS = {
    "bn-2048": build(small_bn()),
    "module": Backbone.from_module(
        nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 4)),
        seed=0,
        statistics="batch",
    ),
    # One image has as many numbers a channel as pixels: PyTorch says nothing.
    "convolution": Backbone.from_module(
        nn.Sequential(
            nn.Unflatten(1, (1, 4, 5)),
            nn.Conv2d(1, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 4),
        ),
        seed=0,
        statistics="batch",
    ),
}
ONE = TensorTask(
    "one", train=(BLOBS.x[:300], BLOBS.y[:300]), test=(BLOBS.x[:1], BLOBS.y[:1]), classes=4
)


def ones(net):
    return {name: np.ones(shape, bool) for name, shape in net.layout.shapes.items()}


def bank_of(net, masks):
    bits = np.stack([np.frombuffer(net.layout.pack(each), np.uint8) for each in masks])
    names = tuple("abcdefgh"[: len(masks)])
    return MaskBank(net, PackedMasks(layout=net.layout, names=names, bits=bits))


def infer(net, mode, images, method="auto"):
    return infer_in(bank_of(net, [ones(net)]), BLOBS.x[:images], mode=mode, method=method)


def predict(net, images, folder):
    with SupSup(create_archive(folder / "a.h5", net), net) as model:
        model.train(BLOBS, steps=2, quiet=True)
        return model.predict(BLOBS.x[:images], BLOBS.name)


TOO_FEW = "needs at least 2 images at a time"
BY_GRADIENTS = TOO_FEW + r"; let all images decide together \(mode batch\)"
CASES = {
    "batch of one": (lambda net: next(train(net, [BLOBS], TrainConfig(steps=2, batch=1))), TOO_FEW),
    "test set of one": (lambda net: next(train(net, [ONE], TrainConfig(steps=2))), TOO_FEW),
    "evaluation of one": (lambda net: accuracy(net, ones(net), ONE), TOO_FEW),
    "inference of one": (lambda net: infer(net, "image", 1), TOO_FEW),
    "gradients of single images": (lambda net: infer(net, "image", 40, "one-shot"), BY_GRADIENTS),
    "rounds of them": (lambda net: infer(net, "image", 40, "binary"), BY_GRADIENTS),
    "a shortlist by them": (lambda net: infer(net, "image", 40, "hybrid"), BY_GRADIENTS),
    "the first decides": (lambda net: infer(net, "first", 40), "mode first .* take mode batch"),
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("case", CASES)
def test_one_line_says_so(case, net):
    run, message = CASES[case]
    with pytest.raises(InvalidInput, match=message) as caught:
        run(NETS[net])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("net", NETS)
def test_one_image_of_a_named_task(net, tmp_path):
    with pytest.raises(InvalidInput, match=f"task '{BLOBS.name}': one image.*{TOO_FEW}"):
        predict(NETS[net], 1, tmp_path)


@pytest.mark.parametrize("net", NETS)
def test_all_together_are_answered(net):
    assert infer(NETS[net], "batch", 40).names == ("a",) * 40


@pytest.mark.parametrize("net", NETS)
def test_auto_takes_a_method_that_answers(net, monkeypatch):
    monkeypatch.setattr(auto, "EXHAUSTIVE_BYTES", 1)
    monkeypatch.setattr(auto, "FEW", 1)
    found = infer_in(bank_of(NETS[net], [ones(NETS[net])] * 3), BLOBS.x[:4])
    assert found.method == "exhaustive"
    assert "one image's gradient has none" in found.reason


@pytest.mark.parametrize("net", NETS)
def test_masks_on_a_shortlist_see_the_whole_batch(net):
    """Each image under masks of its own, which normalise it beside all others."""
    backbone, x = NETS[net], BLOBS.x[:6]
    rng = np.random.default_rng(0)
    masks = [
        {name: rng.random(shape) < 0.5 for name, shape in backbone.layout.shapes.items()}
        for _ in range(3)
    ]
    query = Query(bank=bank_of(backbone, masks), x=x, objective=Entropy(), per_image=True)
    listed = np.array([[0, 1], [1, 2], [1, 2], [1, 2], [0, 1], [1, 2]])
    found = evidence_on(query, listed)
    for mask, each in enumerate(masks):
        with torch.no_grad():
            logits = backbone.logits(x, backbone.tensors(each))
        rows = (listed == mask).any(1)
        np.testing.assert_allclose(found[rows, mask], -entropy(logits)[rows], rtol=1e-5)
        assert np.isneginf(found[~rows, mask]).all()


def entropy(logits):
    return torch.distributions.Categorical(logits=logits).entropy().numpy()


class Centred(nn.Module):
    """Mixes images without a normalisation that could be found."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(20, 4)

    def forward(self, x):
        return self.head(x - x.mean(0))


HANDED_OVER = NETS | {"user's own": Backbone.from_module(Centred(), seed=0)}


@pytest.mark.parametrize("opened", ["trained here", "opened again", "added by hand"])
@pytest.mark.parametrize("net", HANDED_OVER)
def test_a_module_that_is_handed_over_refuses_one_image(net, opened, tmp_path):
    """As ``predict`` does, however much is known of the network; two are answered."""
    backbone, path = HANDED_OVER[net].replica(), tmp_path / "a.h5"
    with SupSup(create_archive(path, backbone), backbone) as model:
        if opened == "added by hand":
            backbone.probed = None
            model.archive.add("blobs/0", ones(backbone), {"classes": 4})
        else:
            model.train(BLOBS, steps=2, quiet=True)
        dense = model.module("blobs/0")
    if opened == "opened again":
        backbone.probed = None
        with SupSup.open(path, backbone) as model:
            dense = model.module("blobs/0")
    if (net, opened) == ("user's own", "added by hand"):
        return  # nobody has seen an image of it
    unpickled = pickle.loads(pickle.dumps(dense))
    for module in (dense, copy.deepcopy(dense), unpickled):
        assert module(BLOBS.x[:2]).shape == (2, 4)
        with pytest.raises(InvalidInput, match=TOO_FEW) as caught:
            module(BLOBS.x[:1])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("statistics", ["running", "frozen"])
def test_a_module_with_statistics_answers_one_image(statistics, tmp_path):
    module = nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 4))
    with SupSup.create(tmp_path / "a.h5", module, statistics=statistics) as model:
        model.train(BLOBS, steps=2, quiet=True)
        dense = model.module(BLOBS.name)
    assert not dense._forward_pre_hooks
    torch.testing.assert_close(dense(BLOBS.x[:1]), dense(BLOBS.x[:8])[:1])


@pytest.mark.parametrize(
    "given",
    [
        lambda x: ((x,), {}),
        lambda x: (({"x": x},), {}),
        lambda x: (((x, x),), {}),
        lambda x: ((), {"x": x}),
    ],
    ids=["tensor", "dict", "tuple", "by name"],
)
def test_one_image_is_seen_in_whatever_form_a_module_is_given_it(given):
    refuse, module = NeedsNeighbours("module of task 'a'"), nn.Identity().eval()
    refuse(module, *given(BLOBS.x[:2]))
    with pytest.raises(InvalidInput, match=TOO_FEW):
        refuse(module, *given(BLOBS.x[:1]))


def test_the_module_in_training_mode_is_pytorchs(tmp_path):
    backbone = NETS["convolution"].replica()
    with SupSup(create_archive(tmp_path / "a.h5", backbone), backbone) as model:
        model.train(BLOBS, steps=2, quiet=True)
        dense = model.module(BLOBS.name).train()
    assert dense(BLOBS.x[:1]).shape == (1, 4)


@pytest.mark.parametrize("size", [1e-7, 1.0, 1e7])
@pytest.mark.parametrize(("module", "mixes"), [(Centred, True), (lambda: nn.Linear(20, 4), False)])
def test_the_size_of_logits_does_not_decide_whether_images_are_mixed(module, mixes, size):
    made = module()
    run = lambda x: size * made(x)  # noqa: E731
    assert mixes_images(run, BLOBS.x[:4]) is mixes
