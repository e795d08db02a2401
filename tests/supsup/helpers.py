"""Small tasks and nets that the tests of supsup share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import jaxtyping
import torch
from torch import Tensor, nn

from maskstore.seeded import streams as seeded
from supsup import Backbone, BackboneRecipe


@contextmanager
def as_users_run_it() -> Iterator[None]:
    """Without the tests' type checks, which would speak before our own errors do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


class Blobs:
    """Two-dimensional-at-heart classes in ``pixels`` dimensions: learnable in a few steps."""

    recipe = None
    device = torch.device("cpu")

    def __init__(
        self,
        *,
        name: str = "blobs/0",
        classes: int = 2,
        train: int = 300,
        test: int = 130,
        pixels: int = 20,
    ) -> None:
        self.name, self.classes, self.train_size = name, classes, train
        total = train + test
        centres = torch.from_numpy(seeded.normal(0, f"{name}/centres", (classes, pixels), 1.0))
        noise = torch.from_numpy(seeded.normal(0, f"{name}/noise", (total, pixels), 1.0))
        self.y = torch.from_numpy(seeded.integers(0, f"{name}/labels", (total,), classes))
        self.x = centres[self.y] + noise

    def train_batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        assert indices.max() < self.train_size
        return self.x[indices], self.y[indices]

    def test_batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        test_x, test_y = self.x[self.train_size :], self.y[self.train_size :]
        yield from zip(test_x.split(size), test_y.split(size), strict=True)


def small_lenet(outputs: int = 4, pixels: int = 20, **fields: object) -> BackboneRecipe:
    options = {"inputs": pixels, "hidden": [30, 10]}
    return BackboneRecipe(net="lenet-300-100", outputs=outputs, options=options, **fields)


def small_bn(outputs: int = 4, pixels: int = 20, **fields: object) -> BackboneRecipe:
    options = {"inputs": pixels, "width": 64}
    return BackboneRecipe(net="bn-2048", outputs=outputs, options=options, **fields)


def sequential_net(
    *, biases: bool, widths: Sequence[int] = (20, 30, 10, 4), flatten: bool = True
) -> Backbone:
    """A chain of linear layers as a user would write it, with biases that are not 0."""
    layers: list[nn.Module] = [nn.Flatten()] if flatten else []
    for at, (fan_in, fan_out) in enumerate(pairwise(widths)):
        layers += [nn.ReLU()] if at else []
        layers.append(nn.Linear(fan_in, fan_out, bias=biases))
    backbone = Backbone.from_module(nn.Sequential(*layers), seed=5)
    for name, parameter in backbone.module.named_parameters():
        if name.endswith("bias"):
            drawn = seeded.normal(0, name, tuple(parameter.shape), 0.3)
            parameter.data.copy_(torch.from_numpy(drawn))
    return backbone


class ConvNet(nn.Module):
    """A module as a user would write it: convolution, batch norm, biases, a linear head."""

    def __init__(self, *, outputs: int, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels * 16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(x.view(-1, 1, 4, 4)))).flatten(1))


def not_a_module(outputs: int) -> int:
    return outputs
