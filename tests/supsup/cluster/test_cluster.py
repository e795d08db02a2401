"""What a cluster needs no machines for: its workers' part, and what is refused before any work."""

import socket
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import save_file

from maskstore.errors import DigestMismatch, InvalidInput
from supsup import BackboneRecipe, TrainConfig, build, train
from supsup.cluster import RayCluster
from supsup.cluster.work import Work, rows_that_fit, train_recipes
from supsup.datasets import load
from supsup.tasks import make_task, task_family

BACKBONE = build(BackboneRecipe(net="lenet-300-100", outputs=10))
TASKS = task_family("permuted-mnist-sample", 2)


def work(digest: str = BACKBONE.digest, **fields: object) -> Work:
    config = TrainConfig(**{"steps": 25, **fields})
    return Work(
        backbone=BACKBONE.recipe, weights_digest=digest, config=config, device="cpu", data_dir=None
    )


def test_a_worker_makes_the_masks_of_a_training_here():
    digits = load("mnist-sample")
    here = list(train(BACKBONE, [make_task(task, digits) for task in TASKS], work().config))
    for a, b in zip(here, train_recipes(work(), TASKS), strict=True):
        assert (a.name, a.metrics, a.metadata) == (b.name, b.metrics, b.metadata)
        for name, layer in a.masks.items():
            np.testing.assert_array_equal(layer, b.masks[name])


def test_a_worker_whose_weights_differ_refuses():
    with pytest.raises(DigestMismatch, match="0" * 64):
        train_recipes(work("0" * 64), TASKS)
    with pytest.raises(DigestMismatch):
        rows_that_fit(work("0" * 64), TASKS[0])
    assert rows_that_fit(work(), TASKS[0]) >= 1


def test_a_worker_needs_no_weights_file(tmp_path):
    sent = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=1))
    values = {name: each.detach() for name, each in sent.module.named_parameters()}
    save_file(values, tmp_path / "w.safetensors")
    recipe = BackboneRecipe(net="lenet-300-100", outputs=10, weights=tmp_path / "w.safetensors")
    backbone = build(recipe)
    (tmp_path / "w.safetensors").unlink()
    there = replace(work(backbone.digest), backbone=recipe)
    with pytest.raises(InvalidInput, match="found none of the name 'w.safetensors'"):
        train_recipes(there, TASKS[:1])
    (found,) = train_recipes(there, TASKS[:1], values=backbone.trained_values())
    (here,) = train(backbone, [make_task(TASKS[0], load("mnist-sample"))], there.config)
    for name, layer in here.masks.items():
        np.testing.assert_array_equal(layer, found.masks[name])
    assert rows_that_fit(there, TASKS[0], backbone.trained_values()) >= 1


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput, match=r"pip install 'supsup-store\[ray\]'"):
        RayCluster()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("somewhere", "expected HOST:PORT, auto or local"),
        ("ray://head:10001", "expected HOST:PORT, auto or local"),
        ("127.0.0.1:", "expected HOST:PORT, auto or local"),
        ("127.0.0.1:99999", "nothing answers"),
    ],
)
def test_addresses_that_are_none(address, message):
    pytest.importorskip("ray")
    with pytest.raises(InvalidInput, match=message):
        RayCluster(address)


def test_an_address_where_nothing_is_fails_at_once(monkeypatch):
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    start = time.perf_counter()
    for address in ("auto", f"127.0.0.1:{port}"):
        monkeypatch.setenv("RAY_ADDRESS", f"localhost:{port}")
        with pytest.raises(InvalidInput, match=f"nothing answers at .* port {port}"):
            RayCluster(address)
    assert time.perf_counter() - start < 30


def test_devices_are_those_of_workers():
    with pytest.raises(InvalidInput, match="device: on a cluster cpu or cuda, got 'cuda:1'"):
        RayCluster(device="cuda:1")
