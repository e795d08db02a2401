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


def seen(*args, **kwargs):
    """What a convolution gives where pixels are left out first, and the strides it is asked for."""
    strides = []

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            given = kwargs or {}
            if func is torch.conv2d:
                strides.append(given["stride"] if "stride" in given else (*args, *[1] * 4)[3])
            return func(*args, **given)

    with Spy(), pixels_left_out_first([args[1] if len(args) > 1 else kwargs["weight"]]):
        return F.conv2d(*args, **kwargs), strides


X = torch.randn(3, 4, 9, 12, generator=torch.Generator().manual_seed(1))


def kernel(outputs, inputs, *size):
    return torch.randn(outputs, inputs, *size, generator=torch.Generator().manual_seed(2))


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
        ((X, kernel(5, 4, 1, 1), None, 2, 1), {}, 2),
        ((X, kernel(5, 4, 3, 3), None, 2, 1), {}, 2),
        ((X, kernel(5, 4, 1, 3), None, 2), {}, 2),
        ((X.repeat(1, 4, 1, 1), kernel(5, 16, 1, 1), None, 2), {}, 2),
    ],
)
def test_the_same_numbers_without_the_stride(args, kwargs, stride):
    found, strides = seen(*args, **kwargs)
    torch.testing.assert_close(found, F.conv2d(*args, **kwargs))
    assert strides == [stride]


def test_under_vmap_too_and_nothing_where_there_are_no_kernels():
    assert isinstance(pixels_left_out_first(nn.Linear(2, 3).parameters()), nullcontext)
    with pixels_left_out_first(nn.Conv2d(4, 5, 1).parameters()):
        x = X.clone().requires_grad_()
        out = torch.func.vmap(lambda w: F.conv2d(x, w, stride=2))(
            torch.stack([kernel(5, 4, 1, 1)] * 2)
        )
        torch.testing.assert_close(
            out[0], nn.functional.conv2d(X[..., ::2, ::2], kernel(5, 4, 1, 1))
        )
