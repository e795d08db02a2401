import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup import Backbone, build
from supsup.baselines import Psp, PspRotation
from supsup.baselines.psp_rotation import random_rotation
from tests.supsup.baselines.helpers import FEW, blobs, taught
from tests.supsup.helpers import ConvNet, small_bn

LAYERS = ("fc1", "fc2", "fc3")


def signs(task: str, layer: str, size: int) -> np.ndarray:
    return np.diag(seeded.signs(0, f"psp/{task}/{layer}.weight", (size,)))


def rotation(task: str, layer: str, size: int) -> np.ndarray:
    return random_rotation(0, f"psp/{task}/{layer}", size)


@pytest.mark.parametrize(("name", "context"), [("psp", signs), ("psp-rotation", rotation)])
def test_is_one_set_of_weights_under_each_tasks_context(name, context):
    """W (C x) in every layer, in numpy, of the weights that the last task left."""
    tasks = blobs(3)
    baseline = taught(name, tasks)
    for task in tasks:
        x = task.x.numpy()
        for layer in LAYERS:
            weight = baseline.weights[f"{layer}.weight"].numpy()
            x = (x @ context(task.name, layer, weight.shape[1]).T) @ weight.T
            if layer != "fc3":
                x = np.maximum(x, 0)
        np.testing.assert_allclose(baseline.logits(task.name, task.x), x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [signs, rotation])
def test_contexts_are_orthogonal_and_each_tasks_own(make):
    first, second = make("a", "fc1", 20), make("b", "fc1", 20)
    np.testing.assert_allclose(first @ first.T, np.eye(20), atol=1e-6)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, make("a", "fc2", 20))


def test_rotations_are_evenly_spread():
    """Traces of such matrices have mean 0 and variance 1 (Diaconis and Shahshahani, 1994)."""
    traces = [np.trace(random_rotation(at, "spread", 6)) for at in range(1000)]
    assert abs(np.mean(traces)) < 0.1
    assert abs(np.var(traces) - 1) < 0.2


def test_a_kernel_has_a_sign_for_each_number_under_it():
    net = Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch")
    task = blobs(1, pixels=16)[0]
    baseline = Psp(net, FEW)
    baseline.learn(task)
    own = seeded.signs(0, "psp/blobs/0/conv.weight", (1, 3, 3))
    head = seeded.signs(0, "psp/blobs/0/head.weight", (64,))
    weights = dict(baseline.weights)
    weights["conv.weight"] = weights["conv.weight"] * torch.from_numpy(own)
    weights["head.weight"] = weights["head.weight"] * torch.from_numpy(head)
    with torch.no_grad():
        torch.testing.assert_close(baseline.logits("blobs/0", task.x), net.run(task.x, weights))


def test_rotations_are_for_linear_layers():
    with pytest.raises(InvalidInput, match="'conv.weight' is of another; use psp"):
        PspRotation(Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch"), FEW)
    PspRotation(build(small_bn()), FEW).learn(blobs(1)[0])
