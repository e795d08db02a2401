"""1×1 convolutions with a stride, whose gradients oneDNN gets wrong with few channels last."""

import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from supsup.networks.strided_points import pixels_left_out_first

GRADIENTS = """
import sys
import torch
from torch import nn
from supsup import Backbone
from supsup.baselines import BASELINES, BaselineConfig
from supsup import TensorTask

class Net(nn.Module):
    def __init__(self, outputs=3):
        super().__init__()
        self.points = nn.Conv2d(4, 8, 1, stride=2, bias=False)
        self.head = nn.Linear(8, outputs, bias=False)

    def forward(self, x):
        return self.head(self.points(x).relu().mean((2, 3)))

generator = torch.Generator().manual_seed(0)
x = torch.randn(8, 16, 16, 4, generator=generator).permute(0, 3, 1, 2)  # channels last
y = torch.arange(8) % 3
backbone = Backbone.from_module(Net(), seed=0)

def gradients(double):
    module = Net()
    kind = torch.float64 if double else torch.float32
    leaves = {n: w.to(kind) for n, w in backbone.weights.items()}
    leaves = {n: w.detach().clone().requires_grad_() for n, w in leaves.items()}
    if double:
        logits = torch.func.functional_call(module.double(), leaves, (x.double(),))
    else:
        logits = backbone.run(x, leaves)
    nn.functional.cross_entropy(logits, y).backward()
    return torch.cat([w.grad.flatten().double() for w in leaves.values()])

for _ in range(20):
    ours, exact = gradients(False), gradients(True)
    assert (ours - exact).norm() < 1e-5 * exact.norm(), (ours - exact).norm() / exact.norm()
learner = BASELINES["upper-bound"](backbone, BaselineConfig(steps=20, batch=8))
learner.learn(TensorTask("a", train=(x, y), test=(x, y)))
print("right")
"""


def test_gradients_are_those_of_float64():
    """In a process of its own: what is wrong here wrecks the memory of the process."""
    done = subprocess.run([sys.executable, "-c", GRADIENTS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "right\n"), done.stderr


class Spy(torch.overrides.TorchFunctionMode):
    """The strides that convolutions are asked for."""

    def __init__(self):
        super().__init__()
        self.strides = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        given = kwargs or {}
        if func is torch.conv2d:
            self.strides.append(given["stride"] if "stride" in given else (*args, *[1] * 4)[3])
        return func(*args, **given)


X = torch.randn(3, 4, 9, 12, generator=torch.Generator().manual_seed(1))


def kernel(outputs, inputs, *size, gradient=True):
    made = torch.randn(outputs, inputs, *size, generator=torch.Generator().manual_seed(2))
    return made.requires_grad_(gradient)


@pytest.mark.parametrize(
    ("args", "kwargs", "stride"),
    [
        ((X, kernel(5, 4, 1, 1)), {"stride": 2}, 1),
        ((X, kernel(5, 4, 1, 1), torch.arange(5.0), (2, 3)), {}, 1),
        ((X, kernel(5, 4, 1, 1), None, [1, 3], "valid"), {}, 1),
        ((X, kernel(4, 1, 1, 1), None, 3, (0, 0), 1, 4), {}, 1),
        ((X[0], kernel(5, 4, 1, 1), None, (2,)), {}, 1),
        ((), {"input": X, "weight": kernel(5, 4, 1, 1), "stride": 2, "padding": (0,)}, 1),
        ((X, kernel(5, 4, 1, 1)), {}, 1),
        ((X, kernel(5, 4, 1, 1, gradient=False), None, 2), {}, 2),
        ((X, kernel(5, 4, 1, 1), None, 2, 1), {}, 2),
        ((X, kernel(5, 4, 3, 3), None, 2, 1), {}, 2),
        ((X, kernel(5, 4, 1, 3), None, 2), {}, 2),
        ((X.repeat(1, 4, 1, 1), kernel(5, 16, 1, 1), None, 2), {}, 2),
    ],
)
def test_the_same_numbers_without_the_stride(args, kwargs, stride):
    weight = kwargs["weight"] if "weight" in kwargs else args[1]
    with Spy() as spy, pixels_left_out_first([weight]):
        found = F.conv2d(*args, **kwargs)
    torch.testing.assert_close(found, F.conv2d(*args, **kwargs))
    assert spy.strides == [stride]


def test_under_transforms_too():
    """As several tasks in a step are trained: gradients of each of several kernels."""
    several = torch.stack([kernel(5, 4, 1, 1), 2 * kernel(5, 4, 1, 1)]).detach()

    def total(weight):
        with Spy() as spy, pixels_left_out_first([weight]):
            out = F.conv2d(X, weight, stride=2).square().sum()
        assert spy.strides == [1]
        return out

    found = torch.func.vmap(torch.func.grad(total))(several)
    exact = several.double().requires_grad_()
    sum(F.conv2d(X.double(), each, stride=2).square().sum() for each in exact).backward()
    torch.testing.assert_close(found, exact.grad.float())


def test_nothing_where_there_are_no_kernels():
    assert isinstance(pixels_left_out_first(nn.Linear(2, 3).parameters()), nullcontext)
    assert not isinstance(pixels_left_out_first(nn.Conv2d(4, 5, 1).parameters()), nullcontext)
