"""The order in which a test set is evaluated: it must not decide the accuracy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from maskstore.packed import PackedMasks
from supsup import Backbone, LoaderTask, TensorTask, TrainConfig, accuracy, build, train
from supsup.evaluation import batches
from supsup.evaluation.inferred import evaluate_inferred
from supsup.evaluation.scenarios import GNS
from supsup.inference import MaskBank
from supsup.networks.probe import probe
from supsup.tasks.subset import subset
from tests.supsup.helpers import Blobs, ConvNet, small_bn, small_lenet

BLOBS = Blobs(classes=4, test=256)
SORTED = torch.argsort(BLOBS.y[300:], stable=True)
X, Y = BLOBS.x[300:], BLOBS.y[300:]


class Own(Blobs):
    """A task of the user's own whose test images come class after class."""

    def test_batches(self, size):
        return zip(X[SORTED].split(size), Y[SORTED].split(size), strict=True)


def in_tensors(order):
    train_part = BLOBS.x[:300], BLOBS.y[:300]
    return TensorTask("blobs/0", train=train_part, test=(X[order], Y[order]), classes=4)


def by_class():
    tensors = in_tensors(SORTED)
    loader = list(tensors.test_batches(64))
    return {
        "tensors": tensors,
        "loader": LoaderTask("blobs/0", train=loader, test=loader, classes=4),
        "subset": subset(tensors),
        "custom": Own(classes=4),
    }


@pytest.fixture(scope="module")
def trained():
    backbone = build(small_bn())
    (mask,) = train(backbone, [BLOBS], TrainConfig(steps=60))
    return backbone, mask


def test_images_in_order_of_classes_would_mislead_batch_statistics(trained, monkeypatch):
    backbone, mask = trained
    mixed = accuracy(backbone, mask.masks, BLOBS, batch=64)
    monkeypatch.setattr(backbone, "probed", replace(backbone.probed, mixes_images=False))
    assert mixed > 0.7
    assert accuracy(backbone, mask.masks, in_tensors(SORTED), batch=64) < mixed - 0.2


@pytest.mark.parametrize("form", by_class())
def test_the_order_of_test_images_decides_nothing(trained, form):
    backbone, mask = trained
    mixed = accuracy(backbone, mask.masks, BLOBS, batch=64)
    task = by_class()[form]
    assert accuracy(backbone, mask.masks, task, batch=64) == pytest.approx(mixed, abs=0.05)
    bits = np.frombuffer(backbone.layout.pack(mask.masks), np.uint8)[None]
    masks = PackedMasks(layout=backbone.layout, names=("blobs/0",), bits=bits)
    bank = MaskBank(backbone, masks, classes=4)
    found = evaluate_inferred(GNS, bank, [task], batch=64)
    assert found.accuracy == pytest.approx(mixed, abs=0.05)


class FunctionalNorm(nn.Module):
    """Normalises without a module that could be found."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(20, 4)

    def forward(self, x):
        return self.head(nn.functional.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize(
    ("backbone", "mixes"),
    [
        (build(small_lenet()), False),
        (build(small_bn()), True),
        (Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch"), True),
        (Backbone.from_module(FunctionalNorm(), seed=0), True),
        (Backbone.from_module(nn.Sequential(nn.LayerNorm(20), nn.Linear(20, 4)), seed=0), False),
    ],
    ids=["linear", "batch norm", "convolution", "functional", "layer norm"],
)
def test_whether_a_network_mixes_images_is_found_by_asking(backbone, mixes):
    x = X[:, :16] if isinstance(backbone.module, ConvNet) else X
    assert probe(backbone, x).mixes_images is mixes


def test_images_answered_one_by_one_keep_their_order():
    found = list(batches.evaluation_batches(build(small_lenet()), in_tensors(SORTED), 64))
    assert torch.equal(torch.cat([y for _, y in found]), Y[SORTED])


def test_the_mixed_order_is_always_the_same_and_leaves_nothing_out():
    net = build(small_bn())
    first, second = (
        torch.cat([x for x, _ in batches.evaluation_batches(net, task, 64)])
        for task in (in_tensors(SORTED), Own(classes=4))
    )
    assert torch.equal(first, second)
    assert torch.equal(first.sum(1).sort().values, X.sum(1).sort().values)
