"""Gradients of several tasks against autograd, one task at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maskstore.seeded.scores import ScoreStart
from supsup import Backbone, build
from supsup.masking import Threshold
from supsup.training.buffers import Buffers
from supsup.training.gradients import AnyModule, ChainGradients, gradients_of
from supsup.training.updates import refresh
from tests.supsup.helpers import ConvNet, sequential_net, small_bn, small_lenet


def some_batch(tasks: int, pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    make = torch.Generator().manual_seed(0)
    x = torch.randn(tasks, 16, pixels, generator=make)
    return x, torch.randint(0, 4, (tasks, 16), generator=make)


def some_buffers(backbone: Backbone, tasks: int, dtype: torch.dtype = torch.float32) -> Buffers:
    starts = [ScoreStart(seed=0, stream=f"scores/{at}") for at in range(tasks)]
    buffers = Buffers.draw(backbone.layout, starts, torch.device("cpu"), dtype)
    frozen = torch.cat([w.detach().flatten() for w in backbone.weights.values()])
    refresh(buffers, frozen, Threshold())
    return buffers


def by_autograd(backbone, buffers, x, y):
    """Losses and gradients of W ⊙ M, a task at a time."""
    losses, gradients = [], []
    for at in range(len(x)):
        leaves = {
            name: layer[at].float().detach().requires_grad_()
            for name, layer in buffers.layers(buffers.weights).items()
        }
        loss = F.cross_entropy(backbone.run(x[at], leaves), y[at])
        loss.backward()
        losses.append(loss.detach())
        gradients.append(torch.cat([leaf.grad.flatten() for leaf in leaves.values()]))
    return torch.stack(losses), torch.stack(gradients)


def chosen(kind, buffers, backbone):
    if kind == "module":
        return AnyModule(buffers, backbone)
    found = gradients_of(buffers, backbone)
    assert isinstance(found, ChainGradients)
    return found


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("kind", ["linear", "module"])
@pytest.mark.parametrize("net", ["lenet", "sequential", "with biases"])
def test_of_a_linear_net(net, kind, tasks):
    backbone = (
        build(small_lenet()) if net == "lenet" else sequential_net(biases=net == "with biases")
    )
    buffers, (x, y) = some_buffers(backbone, tasks), some_batch(tasks, 20)
    losses, gradients = by_autograd(backbone, buffers, x, y)
    torch.testing.assert_close(chosen(kind, buffers, backbone).losses(x, y), losses)
    torch.testing.assert_close(buffers.gradient, gradients)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("net", ["conv", "bn"])
def test_of_any_module(net, tasks):
    if net == "conv":
        backbone = Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch")
    else:
        backbone = build(small_bn())
    buffers, (x, y) = some_buffers(backbone, tasks), some_batch(tasks, 16 if net == "conv" else 20)
    losses, gradients = by_autograd(backbone, buffers, x, y)
    torch.testing.assert_close(AnyModule(buffers, backbone).losses(x, y), losses)
    torch.testing.assert_close(buffers.gradient, gradients)


@pytest.mark.parametrize("kind", ["linear", "module"])
def test_bfloat16_is_close(kind):
    backbone = build(small_lenet())
    (x, y) = some_batch(2, 20)
    exact = some_buffers(backbone, 2)
    losses, gradients = by_autograd(backbone, exact, x, y)
    low = some_buffers(backbone, 2, torch.bfloat16)
    found = chosen(kind, low, backbone).losses(x, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, losses, rtol=0.03, atol=0.03)
    similar = F.cosine_similarity(low.gradient.float(), gradients, dim=1)
    assert (similar > 0.99).all()
    assert not torch.equal(low.gradient.float(), gradients)


class Peeks(nn.Module):
    """Looks at a value, which cannot be done for several tasks at once."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(20, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        return y if float(y.detach().sum()) > 0 else 2 * y


def test_a_module_that_runs_only_alone_takes_turns():
    backbone = Backbone.from_module(Peeks(), seed=0)
    buffers, (x, y) = some_buffers(backbone, 2), some_batch(2, 20)
    losses, gradients = by_autograd(backbone, buffers, x, y)
    torch.testing.assert_close(AnyModule(buffers, backbone).losses(x, y), losses)
    torch.testing.assert_close(buffers.gradient, gradients)
    assert "vmap" in backbone.probed.apart
