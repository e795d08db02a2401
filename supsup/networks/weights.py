"""Freezing a network at its seeded weights, and the digest of what it holds.

The specification of the weights is :mod:`maskstore.seeded.weights`.
"""

import hashlib
import json
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from maskstore.seeded.weights import draw_weights


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
