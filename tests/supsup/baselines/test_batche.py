import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup import Backbone
from supsup.baselines import BatchE
from tests.supsup.baselines.helpers import ENOUGH, FEW, blobs, small_net, taught
from tests.supsup.helpers import ConvNet

LAYERS = ("fc1", "fc2", "fc3")


def test_computes_what_its_paper_writes():
    """((x ⊙ r) Wᵀ) ⊙ s in every layer, in numpy."""
    tasks = blobs(3)
    baseline = taught("batche", tasks, ENOUGH)
    for task in tasks:
        x = task.x.numpy()
        own = {name: w.numpy() for name, w in baseline.own[task.name].items()}
        for layer in LAYERS:
            weight = baseline.shared[f"{layer}.weight"].numpy()
            r, s = own[f"{layer}.weight/r"], own[f"{layer}.weight/s"]
            x = ((x * r) @ weight.T) * s
            if layer != "fc3":
                x = np.maximum(x, 0)
        np.testing.assert_allclose(baseline.logits(task.name, task.x), x, rtol=1e-3, atol=1e-4)


def test_is_a_dense_network_of_weights_times_a_rank_one_matrix():
    task, net = blobs(1)[0], small_net()
    baseline = BatchE(net, FEW)
    baseline.learn(task)
    dense = {
        f"{layer}.weight": baseline.shared[f"{layer}.weight"]
        * torch.einsum(
            "o,i->oi",
            baseline.own[task.name][f"{layer}.weight/s"],
            baseline.own[task.name][f"{layer}.weight/r"],
        )
        for layer in LAYERS
    }
    torch.testing.assert_close(baseline.logits(task.name, task.x), net.run(task.x, dense))


def test_only_the_first_task_trains_the_weights():
    tasks = blobs(3)
    baseline = BatchE(small_net(), FEW)
    seeded = dict(baseline.shared)
    baseline.learn(tasks[0])
    first = dict(baseline.shared)
    assert not any(torch.equal(first[name], w) for name, w in seeded.items())
    for task in tasks[1:]:
        baseline.learn(task)
    assert all(torch.equal(baseline.shared[name], w) for name, w in first.items())


def test_vectors_start_as_signs_of_their_own():
    slow = BatchE(small_net(), ENOUGH, vector_lr=1e-30)
    for task in blobs(3):
        slow.learn(task)
    second, third = slow.own["blobs/1"], slow.own["blobs/2"]
    assert all(torch.equal(w.abs(), torch.ones_like(w)) for w in second.values())
    assert not any(torch.equal(w, third[name]) for name, w in second.items())


def test_biases_and_scales_are_each_tasks_own():
    net = Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch")
    baseline = BatchE(net, FEW)
    tasks = blobs(2, pixels=16)
    for task in tasks:
        baseline.learn(task)
    plain = {"conv.bias", "norm.weight", "norm.bias", "head.bias"}
    assert plain <= baseline.own["blobs/0"].keys()
    assert not plain & baseline.shared.keys()
    assert not torch.equal(
        baseline.own["blobs/0"]["head.bias"], baseline.own["blobs/1"]["head.bias"]
    )
    # A kernel's r has one number an input channel, its s one an output channel.
    assert baseline.own["blobs/1"]["conv.weight/r"].shape == (1,)
    assert baseline.own["blobs/1"]["conv.weight/s"].shape == (4,)


def test_the_rate_of_vectors_is_checked():
    with pytest.raises(InvalidInput, match="vector_lr: expected a positive number, got -1.0"):
        BatchE(small_net(), FEW, vector_lr=-1.0)
