"""What a module's constructor draws: it must not decide anything that no seed gives back.

Parameters are all overwritten from the seed. Anything else that differs between two modules made
under different seeds of the global generators would be another network in the next process.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from supsup.networks.modes import construction

SEEDS = (0, 1)
"""Of the generators, for the module that is used and for the other one."""


Made = tuple[nn.Module, tuple[str, ...]]
"""A module that was parsed, and the notes on it (:mod:`supsup.networks.parse_module`)."""


def make_twice(make: Callable[[], Made], net: str) -> Made:
    """What a factory makes, once a second one under other seeds has turned out the same.

    Raises:
        InvalidInput: they differ in more than the values of parameters; the line names what.
    """
    (module, notes), (other, _) = (_made_under(make, seed) for seed in SEEDS)
    first, second = (
        {name: tuple(p.shape) for name, p in each.named_parameters()} for each in (module, other)
    )
    if first != second:
        name = next(iter(dict(first.items() ^ second.items())))
        raise InvalidInput(
            f"net {net!r}: parameter {name!r} is not the same each time the module is made; "
            "make its layers without random choices"
        )
    others = dict(other.named_buffers())
    for name, buffer in module.named_buffers():
        if not same(buffer, others.get(name)):
            raise InvalidInput(
                f"net {net!r}: buffer {name!r} is random: it has other values each time the module "
                "is made, so masks could not be used again; draw it from a torch.Generator with a "
                "seed of its own, or make it a parameter"
            )
    others = dict(_attributes(other))
    for name, value in _attributes(module):
        if not same(value, others.get(name)):
            raise InvalidInput(
                f"net {net!r}: attribute {name!r} is random: it has another value each time the "
                "module is made, so masks could not be used again; draw it from a generator with a "
                "seed of its own, or make it a parameter"
            )
    return module, notes


def _made_under(make: Callable[[], Made], seed: int) -> Made:
    with construction(seed):
        return make()


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Values of all parts that can be compared, by name; what modules themselves keep left out."""
    own = vars(nn.Module()).keys()
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if attribute not in own and _comparable(value):
                yield f"{name}.{attribute}" if name else attribute, value


def _comparable(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_comparable, value))
    if isinstance(value, dict):
        return all(isinstance(k, str | int) for k in value) and all(
            map(_comparable, value.values())
        )
    return isinstance(value, Tensor | np.ndarray | np.generic | int | float | complex | str)


def same(a: object, b: object) -> bool:
    """Whether two values are equal, bit for bit; of parameters only that they are some."""
    if type(a) is not type(b):
        return False
    if isinstance(a, nn.Parameter):  # listed once more, as the weights of an RNN are
        return True
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        alike = a.dtype == b.dtype and a.shape == b.shape
        return alike and bool(torch.equal(_bits(a), _bits(b)))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b) or a != a  # NaN is itself


def _bits(tensor: Tensor) -> Tensor:
    """Values as bytes, so that NaN is NaN and every type can be compared."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
