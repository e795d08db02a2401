"""Networks that take statistics of the batch, given one image: one line, wherever it happens."""

import numpy as np
import pytest
from torch import nn

from maskstore.errors import InvalidInput
from maskstore.packed import PackedMasks
from supsup import Backbone, SupSup, TensorTask, TrainConfig, accuracy, build, train
from supsup.archives import create_archive
from supsup.inference import MaskBank, infer_in
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


def infer(net, mode, images):
    bits = np.frombuffer(net.layout.pack(ones(net)), np.uint8)[None]
    masks = PackedMasks(layout=net.layout, names=("a",), bits=bits)
    return infer_in(MaskBank(net, masks), BLOBS.x[:images], mode=mode)


def predict(net, images, folder):
    with SupSup(create_archive(folder / "a.h5", net), net) as model:
        model.train(BLOBS, steps=2, quiet=True)
        return model.predict(BLOBS.x[:images], BLOBS.name)


TOO_FEW = "needs at least 2 images at a time"
CASES = {
    "batch of one": (lambda net: next(train(net, [BLOBS], TrainConfig(steps=2, batch=1))), TOO_FEW),
    "test set of one": (lambda net: next(train(net, [ONE], TrainConfig(steps=2))), TOO_FEW),
    "evaluation of one": (lambda net: accuracy(net, ones(net), ONE), TOO_FEW),
    "inference of one": (lambda net: infer(net, "image", 1), TOO_FEW),
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
