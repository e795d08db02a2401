"""Small networks with normalisation, and tasks for them, that tests of statistics share."""

from functools import partial

import torch
from torch import Tensor, nn

from supsup import Backbone, BackboneRecipe, build

RESNET = {"width": 4, "blocks": [1, 2]}
CLASSES = 3


def recipe(net: str, statistics: str = "running") -> BackboneRecipe:
    options = RESNET if net.startswith("resnet") else {"width": 12, "inputs": 48}
    return BackboneRecipe(net=net, outputs=5, options=options, statistics=statistics)


def flat_net(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 9), norm, nn.ReLU(), nn.Linear(9, 5))


def map_net(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))


class Averaging(nn.BatchNorm1d):
    """Puts new tensors in the place of its buffers, where PyTorch's layers write into them."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean, var = x.mean(0), x.var(0)
            self.running_mean = 0.8 * self.running_mean + 0.2 * mean.detach()
            self.running_var = 0.8 * self.running_var + 0.2 * var.detach()
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / (var + self.eps).sqrt()


MODULES = {
    "batch norm": lambda: map_net(nn.BatchNorm2d(4)),
    "without scales": lambda: flat_net(nn.BatchNorm1d(9, affine=False)),
    "another momentum": lambda: flat_net(nn.BatchNorm1d(9, momentum=0.4)),
    "mean of all batches": lambda: flat_net(nn.BatchNorm1d(9, momentum=None)),
    "instance norm": lambda: map_net(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
    "assigned": lambda: flat_net(Averaging(9, affine=False)),
}
"""A user's modules, by what they have."""


def from_module(name: str, statistics: str = "running") -> Backbone:
    return Backbone.from_module(MODULES[name](), seed=0, statistics=statistics)


BACKBONES = {
    **{net: partial(build, recipe(net)) for net in ("resnet18", "resnet50", "bn-2048")},
    **{name: partial(from_module, name) for name in MODULES},
}
"""Backbones with running statistics."""


class Colours:
    """Classes told apart by their mean colour, each task with colours and brightness of its own."""

    recipe = None
    device = torch.device("cpu")
    classes, train_size = CLASSES, 96

    def __init__(self, index: int = 0, *, size: int = 4) -> None:
        self.name = f"colours/{index}"
        generator = torch.Generator().manual_seed(index)
        self.y = torch.arange(174) % CLASSES
        self.x = torch.randn(174, 3, size, size, generator=generator) + index
        means = torch.randn(CLASSES, 3, 1, 1, generator=generator)
        self.x += 2 * means[self.y]

    def train_batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[indices], self.y[indices]

    def test_batches(self, size: int):
        yield from zip(self.x[96:].split(size), self.y[96:].split(size), strict=True)
