"""Networks whose inputs are integers, with a table to look them up in or without: every verb."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskstore import InvalidInput
from supsup import SupSup, TensorTask
from supsup.networks.explain import explained

TRAIN = {"steps": 5, "batch": 10, "quiet": True}


class Bytes(nn.Module):
    """Pixels of 0 to 255 are scaled in the forward."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.float() / 128 - 1)


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(80, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(nn.functional.one_hot(x, 10).float().flatten(1))


class Table(nn.Module):
    """A parameter that is indexed."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(10, 4))
        self.linear = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.table[x].flatten(1))


def embedding() -> nn.Module:
    return nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(32, 3))


KINDS = {
    "bytes": (Bytes, torch.uint8),
    "one-hot": (OneHot, torch.int64),
    "table": (Table, torch.int64),
    "embedding": (embedding, torch.int64),
}


@pytest.fixture(params=KINDS)
def trained(request, tmp_path, monkeypatch):
    """An open archive of two tasks, the inputs of the second, and the type that they are not."""
    monkeypatch.chdir(tmp_path)
    make, dtype = KINDS[request.param]
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 3
    tasks = []
    for name in ("слова", "a / b"):
        x = torch.randint(0, 10, (40, 8), generator=draw).to(dtype)
        tasks.append(TensorTask(name, train=(x[:30], y[:30]), test=(x[30:], y[30:])))
    with SupSup.create("a.h5", make(), seed=1) as model:
        model.train(tasks, **TRAIN)
        yield model, tasks, x[30:], request.param


def are_largest(values: Tensor, chosen) -> bool:
    """Whether one is chosen in each row that none is above, but for rounding: weights of one size
    give equal sums."""
    rows = torch.arange(len(values))
    return torch.allclose(values[rows, torch.as_tensor(chosen)], values.max(1).values, atol=1e-5)


def test_what_masks_were_trained_on_is_answered(trained):
    model, tasks, x, _ = trained
    names = [task.name for task in tasks]
    with torch.no_grad():
        logits = [model.module(name)(x) for name in names]
    np.save("x.npy", x.numpy())
    for data in (x, "x.npy"):
        assert are_largest(logits[1], model.predict(data, "a / b").predictions)
    assert are_largest(logits[1][:1], model.predict(x[:1], "a / b").predictions)
    sure = torch.stack([(z.softmax(1) * z.log_softmax(1)).sum(1) for z in logits], dim=1)
    for data in (x, "x.npy"):
        found = model.infer(data, method="exhaustive", objective="entropy")
        assert are_largest(sure, [names.index(name) for name in found.names])
    assert 0 <= model.evaluate(tasks, "GNu").task_accuracy <= 1


def test_other_types_are_refused_in_a_line(trained):
    model, _, x, _ = trained
    np.save("f.npy", x.float().numpy())
    for ask in (model.infer, lambda data: model.predict(data, "a / b")):
        with pytest.raises(InvalidInput, match="expected integers, as the masks were trained on"):
            ask(x.float())
        with pytest.raises(InvalidInput, match=r"expected integers of shape .* got float32"):
            ask("f.npy")


def test_bytes_are_refused_where_masks_were_trained_on_normalised_pixels(tmp_path):
    """Also by a network that would take them, and has a table of places."""

    class Placed(Bytes):
        def __init__(self) -> None:
            super().__init__()
            self.places = nn.Embedding(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            places = torch.arange(8, dtype=torch.int64, device=x.device)
            return self.linear(x.float() + self.places(places).T)

    x, y = torch.randn(40, 8), torch.arange(40) % 3
    task = TensorTask("a", train=(x[:30], y[:30]), test=(x[30:], y[30:]))
    with SupSup.create(tmp_path / "a.h5", Placed(), seed=1) as model:
        model.train([task], **TRAIN)
        for ask in (model.infer, lambda data: model.predict(data, "a")):
            assert len(ask(x[:4]).predictions) == 4
            with pytest.raises(InvalidInput, match=r"expected float32, got torch.uint8; scale"):
                ask(torch.zeros(4, 8, dtype=torch.uint8))


def test_one_picture_of_another_size_is_told_as_it_is(tmp_path):
    """It is doubled before the network sees it, but nobody gave two."""
    x, y = torch.randn(40, 8), torch.arange(40) % 3
    task = TensorTask("a", train=(x[:30], y[:30]), test=(x[30:], y[30:]))
    with SupSup.create(tmp_path / "a.h5", nn.Sequential(nn.Linear(8, 3), nn.ReLU())) as model:
        model.train([task], **TRAIN)
        for ask in (model.infer, lambda data: model.predict(data, "a")):
            with pytest.raises(InvalidInput, match=r"^data of shape \(n, 9\): the network"):
                ask(torch.randn(1, 9))


def test_an_input_too_few_is_told():
    module = nn.Bilinear(8, 8, 3)
    with pytest.raises(TypeError) as raised:
        module(torch.zeros(2, 8))
    assert "a tuple or a dict" in str(explained(raised.value, module, torch.zeros(2, 8)))
