"""Freezing a network at its seeded weights, and the digest of what it holds.

The specification of the weights is :mod:`maskstore.seeded.weights`.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import parse_seed
from maskstore.seeded.weights import draw_weights
from supsup.networks.recipe import check_init
from supsup.networks.weights_file import WeightsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Where the numbers of a module that was handed in come from.

    Attributes:
        seed, init, fan_density: of those that are drawn, see :class:`supsup.BackboneRecipe`.
        trained: patterns of the parameters that are not drawn: they are the module's own, or those
            of ``file``.
        file: a weights file, where there is one.

    Raises:
        InvalidInput: the seed or the distribution is none.
    """

    seed: int
    init: str
    fan_density: float
    trained: tuple[str, ...] = ()
    file: WeightsFile | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", parse_seed(self.seed))
        object.__setattr__(self, "fan_density", check_init(self.init, self.fan_density))

    def to_json(self, trained_bytes: int) -> dict[str, Any]:
        """What an archive keeps; ``trained_bytes`` of values no seed gives back."""
        kept = {"seed": self.seed, "init": self.init, "fan_density": self.fan_density}
        if not self.trained:
            return kept
        own = {"bytes": trained_bytes, "parameters": list(self.trained)}
        return kept | {"weights": own if self.file is None else self.file.to_json()}

    def freeze(self, module: nn.Module) -> None:
        """:func:`freeze` a module at those numbers."""
        freeze(module, seed=self.seed, init=self.init, fan_density=self.fan_density)


def freeze(module: nn.Module, *, seed: int, init: str, fan_density: float) -> None:
    """Overwrite every parameter with its seeded weights and stop its gradient, in place.

    The row of an embedding that stands for padding is 0, as PyTorch makes and keeps it.

    Raises:
        InvalidInput: a parameter is not float32.
    """
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            advice = "call float() on the module"
            if parameter.is_complex():
                advice = "keep its real and imaginary parts (torch.view_as_real)"
            elif not parameter.is_floating_point():
                advice = "numbers that nothing trains are a buffer (register_buffer)"
            raise InvalidInput(
                f"parameter {name!r}: expected float32, got {parameter.dtype}; {advice}"
            )
        if parameter.numel():
            drawn = draw_weights(
                name, tuple(parameter.shape), seed=seed, init=init, fan_density=fan_density
            )
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(drawn))
        parameter.requires_grad_(False)
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.padding_idx is not None:
            with torch.no_grad():
                part.weight[part.padding_idx] = 0.0


def digest_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """sha256 (hex) over names, types, shapes and little-endian values, in order."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        tensor = tensor.detach().cpu().contiguous()
        try:
            values = np.ascontiguousarray(tensor.numpy())
            little = values.dtype.newbyteorder("<")
            kind = little.str
        except TypeError:  # a type that NumPy has not, such as bfloat16, goes by its bytes
            values = tensor.reshape(-1).view(torch.uint8).numpy()
            little, kind = values.dtype, str(tensor.dtype)
        head = [name, kind, list(tensor.shape)]
        digest.update(json.dumps(head, separators=(",", ":")).encode() + b"\n")
        digest.update(values.astype(little, copy=False).data)
    return digest.hexdigest()
