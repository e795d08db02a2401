import numpy as np
import pytest
import torch

from maskstore import InvalidInput
from supsup import BackboneRecipe, build
from supsup.datasets import load
from supsup.recovery.mask_entropy import MaskEntropy
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import hold_out


@pytest.fixture(scope="module")
def backbone():
    return build(BackboneRecipe(net="lenet-300-100", outputs=5, seed=1))


def test_value_and_gradient(backbone):
    x = torch.randn(150, 784, generator=torch.Generator().manual_seed(0))
    entropy = MaskEntropy(backbone, x, classes=2, batch=50)
    rng = np.random.default_rng(0)
    mask = rng.random(backbone.layout.bits)
    value, slope = entropy(mask, 1)
    sizes = [bits for *_, bits in backbone.layout.layers()]
    first, second, third = (
        torch.from_numpy(part.astype(np.float32)).view(weight.shape) * weight
        for part, weight in zip(
            np.split(mask, np.cumsum(sizes)[:-1]), backbone.weights.values(), strict=True
        )
    )
    p = torch.relu(torch.relu(x[50:100] @ first.T) @ second.T) @ third.T
    p = p.softmax(1)
    assert value == pytest.approx(float(-(p * p.log()).sum(1).mean()), rel=1e-4)
    direction = slope / np.linalg.norm(slope)
    numeric = (
        entropy(mask + 0.01 * direction, 1)[0] - entropy(mask - 0.01 * direction, 1)[0]
    ) / 0.02
    assert numeric == pytest.approx(np.linalg.norm(slope), rel=0.02)
    assert entropy.calls == 3


def test_batches_come_round_and_a_rest_is_left_out(backbone):
    x = torch.randn(149, 784, generator=torch.Generator().manual_seed(0))
    entropy = MaskEntropy(backbone, x, classes=2, batch=50)
    mask = np.full(backbone.layout.bits, 0.5)
    values = [entropy(mask, step)[0] for step in range(4)]
    assert values[0] == values[2] != values[1] == values[3]
    assert MaskEntropy(backbone, x[:20], classes=2, batch=50)(mask, 7)[0] > 0


def test_what_cannot_be_run(backbone):
    with pytest.raises(InvalidInput, match="no images"):
        MaskEntropy(backbone, torch.zeros(0, 784), classes=2)
    entropy = MaskEntropy(backbone, torch.zeros(4, 7), classes=2)
    with pytest.raises(InvalidInput, match="the network does not take it"):
        entropy(np.ones(backbone.layout.bits), 0)


def test_hold_out_cuts_the_test_set_in_two():
    task = make_task(task_family("split-mnist-sample")[1], load("mnist-sample"))
    every = torch.cat([x for x, _ in task.test_batches(1000)])
    x, rest = hold_out(task, seed=3)
    scored = torch.cat([x for x, _ in rest.test_batches(16)])
    assert abs(len(x) - len(scored)) <= 1

    def rows(images):
        return sorted(map(bytes, images.numpy()))

    assert rows(torch.cat([x, scored])) == rows(every)
    assert torch.equal(hold_out(task, seed=3)[0], x)
    assert not torch.equal(hold_out(task, seed=4)[0], x)
    whole, same = hold_out(task, seed=3, disjoint=False)
    assert rows(whole) == rows(every) == rows(torch.cat([x for x, _ in same.test_batches(64)]))
    labels = {
        bytes(x.numpy()): int(y)
        for part in task.test_batches(99)
        for x, y in zip(*part, strict=True)
    }
    for images, y in rest.test_batches(64):
        assert [labels[bytes(image.numpy())] for image in images] == y.tolist()
    assert (rest.name, rest.classes, rest.train_size) == (task.name, 2, task.train_size)
    assert rest.train_batch(torch.arange(2))[1].tolist() == task.train_y[:2].tolist()
    assert rest.recipe == task.recipe
