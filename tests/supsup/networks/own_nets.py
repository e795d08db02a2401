"""Small networks whose tasks have parameters of their own, that tests share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from supsup import Backbone, BackboneRecipe, build
from tests.supsup.networks.norms import map_net


class HeadNet(nn.Module):
    """A trunk, a norm with scales and shifts, and a head, without a chain of linear layers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.trunk = nn.Linear(48, 12)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.trunk(x.flatten(1)))))


def make_head_net(outputs: int) -> nn.Module:
    return HeadNet(outputs)


NET = f"{__name__}:make_head_net"


def named(per_task: tuple[str, ...], **fields: object) -> Backbone:
    made = BackboneRecipe(net=NET, outputs=5, per_task=per_task, **fields)
    return build(made, allow_code=True)


def lenet() -> Backbone:
    options = {"inputs": 48, "hidden": [20, 10]}
    return build(BackboneRecipe(net="lenet-300-100", outputs=5, options=options, per_task="fc3.*"))


def normed() -> Backbone:
    return Backbone.from_module(
        map_net(nn.BatchNorm2d(4)), seed=0, statistics="running", per_task=("1.*", "4.*")
    )


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "a net that ships": lenet,
    "head, scales and biases": lambda: named(("head.*", "norm.*", "*.bias")),
    "biases alone": lambda: named(("*.bias",)),
    "beside running statistics": normed,
    "dropout": lambda: Backbone.from_module(
        nn.Sequential(
            nn.Flatten(), nn.Linear(48, 12), nn.Dropout(0.2), nn.ReLU(), nn.Linear(12, 5)
        ),
        seed=0,
        per_task="4.*",
    ),
}
"""By what is per task."""
