"""What counts as a chain of linear layers, and what only looks like one."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from supsup import Backbone, build
from supsup.networks.linear_chain import LinearChain, chain_of
from supsup.networks.mlp import Mlp
from tests.supsup.helpers import sequential_net, small_bn, small_lenet


def chain(*layers: nn.Module, **fields: object) -> LinearChain | None:
    return chain_of(Backbone.from_module(nn.Sequential(*layers), seed=0, **fields))


def linear(inputs: int, units: int) -> nn.Linear:
    return nn.Linear(inputs, units, bias=False)


def test_chains():
    lenet = chain_of(build(small_lenet()))
    assert lenet == LinearChain(
        weights=("fc1.weight", "fc2.weight", "fc3.weight"),
        biases=(None, None, None),
        inputs=20,
        flattens=True,
    )
    assert chain(nn.Flatten(), linear(4, 3), nn.ReLU(), nn.Linear(3, 2)) == LinearChain(
        weights=("1.weight", "3.weight"), biases=(None, "3.bias"), inputs=4, flattens=True
    )
    assert chain(linear(4, 2)) == LinearChain(
        weights=("0.weight",), biases=(None,), inputs=4, flattens=False
    )
    relu = nn.ReLU()  # one module at two places
    shared = chain(linear(4, 3), relu, linear(3, 3), relu, linear(3, 2))
    assert shared is not None
    assert shared.weights == ("0.weight", "2.weight", "4.weight")


@pytest.mark.parametrize("flatten", [True, False])
def test_which_data_it_takes(flatten):
    net = chain_of(sequential_net(biases=False, flatten=flatten))
    assert net is not None
    assert net.takes(torch.zeros(3, 20))
    assert not net.takes(torch.zeros(3, 21))
    # Without nn.Flatten the layer would go along the last axis.
    assert net.takes(torch.zeros(3, 4, 5)) == flatten
    assert net.takes(torch.zeros(3, 1, 20)) == flatten


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class DoubledReLU(nn.ReLU):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class DoubledSequential(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class DoubledMlp(Mlp):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def doubles(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
    return 2 * output


def hooked(part: int) -> nn.Module:
    module = nn.Sequential(nn.Flatten(), linear(4, 4), nn.ReLU(), linear(4, 2))
    (module if part < 0 else module[part]).register_forward_hook(doubles)
    return module


def hooked_before() -> nn.Module:
    module = nn.Sequential(linear(4, 4), nn.ReLU(), linear(4, 2))
    module[0].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    return module


def forward_of_its_own(part: int) -> nn.Module:
    module = nn.Sequential(nn.Flatten(), linear(4, 4), nn.ReLU(), linear(4, 2))
    changed = module if part < 0 else module[part]
    original = changed.forward
    changed.forward = lambda x: 2 * original(x)
    return module


def tied_weights() -> nn.Module:
    module = nn.Sequential(linear(4, 4), nn.ReLU(), linear(4, 4), nn.ReLU(), linear(4, 2))
    module[2].weight = module[0].weight
    return module


def tied_layers() -> nn.Module:
    layer = linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), linear(4, 2))


def parametrized() -> nn.Module:
    module = nn.Sequential(linear(4, 4), nn.ReLU(), linear(4, 2))
    parametrize.register_parametrization(module[0], "weight", nn.Tanh())
    return module


def normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(linear(4, 4)), nn.ReLU(), linear(4, 2))


def changed_mlp() -> nn.Module:
    module = Mlp(outputs=2, hidden=(4,), inputs=4)
    module.fc2 = nn.Sequential(linear(4, 4), nn.Tanh(), linear(4, 2))
    return module


LOOKALIKES: dict[str, Callable[[], nn.Module]] = {
    "another activation": lambda: nn.Sequential(linear(4, 3), nn.GELU(), linear(3, 2)),
    "a subclass of ReLU": lambda: nn.Sequential(linear(4, 3), DoubledReLU(), linear(3, 2)),
    "a subclass of Linear": lambda: nn.Sequential(Doubled(4, 3), nn.ReLU(), linear(3, 2)),
    "a subclass of Sequential": lambda: DoubledSequential(linear(4, 3), nn.ReLU(), linear(3, 2)),
    "a subclass of Mlp": lambda: DoubledMlp(outputs=2, hidden=(4,), inputs=4),
    "an Mlp with another layer": changed_mlp,
    "dropout": lambda: nn.Sequential(linear(4, 3), nn.Dropout(), nn.ReLU(), linear(3, 2)),
    "dropout for ReLU": lambda: nn.Sequential(linear(4, 3), nn.Dropout(), linear(3, 2)),
    "ReLU at the end": lambda: nn.Sequential(linear(4, 3), nn.ReLU()),
    "ReLU at the end only": lambda: nn.Sequential(linear(4, 3), linear(3, 2), nn.ReLU()),
    "ReLU before all": lambda: nn.Sequential(nn.ReLU(), linear(4, 3)),
    "normalisation": lambda: nn.Sequential(linear(4, 3), nn.LayerNorm(3), linear(3, 2)),
    "flattened later": lambda: nn.Sequential(nn.Flatten(2), linear(4, 2)),
    "flattened in part": lambda: nn.Sequential(nn.Flatten(1, 2), linear(4, 2)),
    "widths that do not fit": lambda: nn.Sequential(linear(4, 3), nn.ReLU(), linear(2, 2)),
    "a hook on the network": lambda: hooked(-1),
    "a hook on nn.Flatten": lambda: hooked(0),
    "a hook on a layer": lambda: hooked(1),
    "a hook on an activation": lambda: hooked(2),
    "a hook before a layer": hooked_before,
    "the network's own forward": lambda: forward_of_its_own(-1),
    "a layer's own forward": lambda: forward_of_its_own(1),
    "an activation's own forward": lambda: forward_of_its_own(2),
    "tied weights": tied_weights,
    "a layer twice": tied_layers,
    "a parametrization": parametrized,
    "weight norm": normed,
    "convolution": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), linear(4, 2)),
}


@pytest.mark.parametrize("make", LOOKALIKES.values(), ids=LOOKALIKES.keys())
def test_what_only_looks_like_one(make):
    assert chain_of(Backbone.from_module(make(), seed=0)) is None


def test_masks_that_leave_a_layer_out_or_cover_a_bias():
    layers = nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)
    assert chain(*layers, maskable=("0.weight", "2.weight")) is not None
    assert chain(*layers, maskable=("0.weight",)) is None
    assert chain(*layers, maskable=("0.weight", "2.weight", "2.bias")) is None
    assert chain_of(build(small_bn())) is None
