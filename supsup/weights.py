"""The frozen weights of a backbone: distributions of seeded arrays, and their digest.

Parameter ``name`` of a backbone with seed s is drawn from the stream (s, "weights/" + name), see
:mod:`maskstore.seeded`. With fan_in = inputs of one unit (for a convolution, times the kernel):

- ``signed-constant``: ±sqrt(2 / fan_in) (Ramanujan et al., 2020, "signed Kaiming constant");
- ``scaled-signed-constant``: ±sqrt(2 / (fan_density * fan_in));
- ``kaiming-normal``: normal, standard deviation sqrt(2 / fan_in);
- ``scaled-kaiming``: normal, standard deviation sqrt(2 / (fan_density * fan_in)).

A vector (a bias, the scale of a normalisation) is not random: 0 if its name ends in ``bias``,
1 otherwise.
"""

import hashlib
import json
import math
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from maskstore import seeded
from maskstore.errors import InvalidInput


def draw_weights(
    name: str, shape: tuple[int, ...], *, seed: int, init: str, fan_density: float
) -> Float32[np.ndarray, "..."]:
    """The weights of one parameter."""
    if len(shape) < 2:
        return np.full(shape, 0.0 if name.endswith("bias") else 1.0, np.float32)
    fan_in = math.prod(shape[1:])
    purpose = f"weights/{name}"
    match init:
        case "signed-constant":
            constant = np.float32(math.sqrt(2.0 / fan_in))
            return seeded.signs(seed, purpose, shape) * constant
        case "scaled-signed-constant":
            constant = np.float32(math.sqrt(2.0 / (fan_density * fan_in)))
            return seeded.signs(seed, purpose, shape) * constant
        case "kaiming-normal":
            return seeded.normal(seed, purpose, shape, math.sqrt(2.0 / fan_in))
        case "scaled-kaiming":
            return seeded.normal(seed, purpose, shape, math.sqrt(2.0 / (fan_density * fan_in)))
        case _:
            raise AssertionError(f"{init} is not an init")


def freeze(module: nn.Module, *, seed: int, init: str, fan_density: float) -> None:
    """Overwrite every parameter with its seeded weights and stop its gradient, in place.

    Batch normalisation is switched to batch statistics for good, in training and evaluation, as
    the paper's networks are run: running averages would be state beside the masks.

    Raises:
        InvalidInput: a parameter is not float32.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise InvalidInput(
                f"parameter {name!r}: expected float32, got {parameter.dtype}; "
                "build the module in float32"
            )
        drawn = draw_weights(
            name, tuple(parameter.shape), seed=seed, init=init, fan_density=fan_density
        )
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(drawn))
        parameter.requires_grad_(False)


def digest_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """sha256 (hex) over names, types, shapes and little-endian values, in order."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        values = np.ascontiguousarray(tensor.detach().cpu().numpy())
        little = values.dtype.newbyteorder("<")
        head = [name, little.str, list(values.shape)]
        digest.update(json.dumps(head, separators=(",", ":")).encode() + b"\n")
        digest.update(values.astype(little, copy=False).data)
    return digest.hexdigest()
