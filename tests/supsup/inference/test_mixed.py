"""Rows under masks of their own, beside a plain loop; and predictions that mix tasks."""

import numpy as np
import pytest
import torch
from torch import nn

from maskstore import InvalidInput, MaskLayout, TaskNotFound
from supsup import SupSup
from supsup.archives.served import TaskWeights
from supsup.inference.kernels import AlignedLayers
from supsup.inference.kernels.mixed import CpuMixedRows
from supsup.inference.kernels.mixed_device import DeviceMixedRows, TorchMaskedLinear

SHAPES = {
    "odd": ((7, 13), (5, 7), (3, 5)),
    "whole": ((16, 32), (4, 16)),
    "bytes": ((9, 24), (70, 9)),
    "one": ((1, 1),),
}


def one_by_one(layout, weights, biases, packed, x):
    """Every row in float64, with W ⊙ M made for it."""
    out = []
    for row, bits in zip(x.astype(np.float64), packed, strict=True):
        masks, h = list(layout.unpack(bits).values()), row
        for at, (w, b) in enumerate(zip(weights, biases, strict=True)):
            h = np.maximum(h, 0) if at else h
            h = (w.astype(np.float64) * masks[at]) @ h + (0 if b is None else b)
        out.append(h)
    return np.array(out)


WAYS = {
    "one thread": ("cpu", 1, CpuMixedRows),
    "two threads": ("cpu", 2, CpuMixedRows),
    "plain PyTorch": ("cpu", 1, lambda layers: on_device(layers, "cpu")),
    "plain PyTorch on a GPU": ("cuda", 1, lambda layers: on_device(layers, "cuda")),
    "a GPU": ("cuda", 1, lambda layers: DeviceMixedRows(layers, torch.device("cuda"))),
}
"""Where rows are, on how many threads, and what answers them."""


def on_device(layers, device: str) -> DeviceMixedRows:
    return DeviceMixedRows(layers, torch.device(device), TorchMaskedLinear())


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, id=name, marks=[pytest.mark.cuda] if way[0] == "cuda" else [])
        for name, way in WAYS.items()
    ],
)
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_every_row_is_answered_under_its_own_mask(shapes, batch, way, monkeypatch):
    device, threads, rows_of = way
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    # Two rows of the largest layer at a time.
    monkeypatch.setattr("supsup.inference.kernels.mixed_device.UNPACKED_BYTES", 2 * 4 * 32 * 72)
    rng = np.random.default_rng(batch)
    layout = MaskLayout({str(at): shape for at, shape in enumerate(shapes)})
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    biases = [None, *(rng.standard_normal(len(w)).astype(np.float32) for w in weights[1:])]
    packed = [layout.pack_flat(rng.integers(0, 2, layout.bits, np.uint8)) for _ in range(batch)]
    packed[-1] = packed[0]
    x = rng.standard_normal((batch, shapes[0][1])).astype(np.float32)
    rows = rows_of(AlignedLayers.of(weights, biases))
    masks = {id(each): rows.align(each, layout) for each in packed}
    found = rows.run([masks[id(each)] for each in packed], torch.from_numpy(x).to(device))
    found = found.cpu().numpy()
    expected = one_by_one(layout, weights, biases, packed, x)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 11), nn.ReLU(), nn.Linear(11, 6))


@pytest.fixture
def model(tmp_path):
    rng = np.random.default_rng(0)
    with SupSup.create(tmp_path / "a.h5", chain()) as model:
        for at, name in enumerate("abcde"):
            masks = {k: rng.random(s) < 0.5 for k, s in model.archive.layout.shapes.items()}
            model.archive.add(name, masks, {"classes": 2 + at})
        yield model


def mixed_calls(monkeypatch) -> list[int]:
    """How many rows each call of the kernel for mixed rows had."""
    from supsup.inference.kernels import mixed

    calls: list[int] = []
    run = mixed.run_mixed
    monkeypatch.setattr(
        mixed,
        "run_mixed",
        lambda layers, masks, x: (calls.append(len(x)), run(layers, masks, x))[1],
    )
    return calls


def test_a_batch_of_many_tasks_is_answered_as_its_rows_are(model, monkeypatch):
    calls = mixed_calls(monkeypatch)
    x = np.random.default_rng(1).standard_normal((12, 20)).astype(np.float32)
    names = [*"abcdeabcdeab"]
    found = model.predict(x, names)
    assert calls == [12]
    for row, name in enumerate(names):
        alone = model.predict(x[row : row + 1], name)
        assert alone.predictions[0] == found.predictions[row]
        assert found.probabilities[row] == pytest.approx(alone.probabilities[0], rel=1e-5)
    assert set(found.predictions[[0, 5, 10]]) <= {0, 1}  # outputs behind a task's classes: no part
    model.predict(np.repeat(x, 22, axis=0), ["a"] * 260 + ["b"] * 4)
    assert calls == [12]  # many rows a task: products of matrices


def test_a_device_is_answered_as_the_processor_is(model, monkeypatch):
    """All that stands around the kernel, on the processor in the place of a GPU."""
    x = np.random.default_rng(1).standard_normal((12, 20)).astype(np.float32)
    names = [*"abcdeabcdeab"]
    expected = model.predict(x, names)
    made = []
    monkeypatch.setattr(
        "supsup.inference.kernels.mixed_rows_of",
        lambda layers, device: made.append(on_device(layers, str(device))) or made[-1],
    )
    model._weights = TaskWeights(model.archive, model.backbone)
    found = model.predict(x, names)
    assert len(made) == 1
    assert np.array_equal(found.predictions, expected.predictions)
    assert found.probabilities == pytest.approx(expected.probabilities, rel=1e-5)


def test_few_rows_of_a_task_are_answered_from_its_bits_where_room_is_short(model, monkeypatch):
    calls = mixed_calls(monkeypatch)
    x = np.random.default_rng(1).standard_normal((17, 20)).astype(np.float32)
    roomy = {name: model.predict(x, name).probabilities for name in "abc"}
    assert not calls
    weights = 4 * (20 * 11 + 11 * 6)
    model._weights = TaskWeights(model.archive, model.backbone, weight_bytes=2 * weights)
    for name in "abc":
        model.predict(x, name)  # too many rows: c's weights take the place of a's
    for name in "cba":
        assert model.predict(x[:16], name).probabilities == pytest.approx(roomy[name][:16])
    assert calls == [16]  # those of a; b and c are kept


def test_a_task_that_is_another_now_is_mixed_as_it_is_now(model):
    x = np.random.default_rng(1).standard_normal((2, 20)).astype(np.float32)
    before = model.predict(x, ["a", "b"]).probabilities
    masks = model.archive.get("c")
    model.archive.remove("a")
    with pytest.raises(TaskNotFound):
        model.predict(x, ["a", "b"])
    model.archive.add("a", masks, {"classes": 4})
    now, of_c = model.predict(x, ["a", "b"]), model.predict(x, ["c", "b"])
    assert np.array_equal(now.probabilities, of_c.probabilities)
    assert now.probabilities[0] != before[0]
    assert now.probabilities[1] == before[1]


def test_what_no_kernel_takes_is_answered_task_by_task(model, tmp_path, monkeypatch):
    calls = mixed_calls(monkeypatch)
    x = np.random.default_rng(1).standard_normal((2, 20)).astype(np.float32)
    model.archive.add("wide", model.archive.get("a"), {"classes": 9})
    with pytest.raises(InvalidInput, match="said to have 9 classes, the network has 6 outputs"):
        model.predict(x, ["a", "wide"])
    calls.clear()
    other = nn.Sequential(nn.Linear(20, 11), nn.Tanh(), nn.Linear(11, 6))  # no chain with ReLU
    with SupSup.create(tmp_path / "b.h5", other) as unlike:
        for name in "ab":
            unlike.archive.add(name, model.archive.get(name), {"classes": 3})
        found = unlike.predict(x, ["a", "b"])
        alone = [unlike.predict(x[row : row + 1], name) for row, name in enumerate("ab")]
        assert not calls
        assert found.predictions.tolist() == [int(each.predictions[0]) for each in alone]
