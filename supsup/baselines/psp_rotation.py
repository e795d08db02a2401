"""PSP with rotations: a random orthogonal matrix for the inputs of each layer."""

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.func import functional_call

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup.baselines.base import BaselineConfig, Weights
from supsup.baselines.superposed import Run, Superposed
from supsup.networks.backbone import Backbone


class PspRotation(Superposed):
    """C_t is a random orthogonal matrix (Cheung et al., 2019, "rotational superposition").

    This is the form that the paper compares with. The matrices have the size of a layer's weights
    or more, but come back from the seed; made by LAPACK, they are the same to the last bit only on
    machines whose LAPACK is the same.
    """

    name = "psp-rotation"

    def __init__(self, backbone: Backbone, config: BaselineConfig) -> None:
        """A baseline that has learnt nothing.

        Raises:
            InvalidInput: the network has other weights than those of ``nn.Linear`` layers.
        """
        super().__init__(backbone, config)
        self._module = copy.deepcopy(backbone.module)
        self._layers = {
            name: part for name, part in self._module.named_modules() if isinstance(part, nn.Linear)
        }
        for name, weight in self.weights.items():
            if weight.ndim >= 2 and name.removesuffix(".weight") not in self._layers:
                raise InvalidInput(
                    f"network {type(self._module).__name__}: {self.name} rotates the inputs of "
                    f"nn.Linear layers, but {name!r} is of another; use psp or another net"
                )

    def _network(self, task: str) -> Run:
        rotations = {
            name: torch.from_numpy(
                random_rotation(self.config.seed, f"psp/{task}/{name}", layer.in_features)
            ).to(self.backbone.device)
            for name, layer in self._layers.items()
        }

        def run(weights: Weights, images: Tensor) -> Tensor:
            handles = [
                layer.register_forward_pre_hook(_rotate(rotations[name]))
                for name, layer in self._layers.items()
            ]
            try:
                return functional_call(self._module, dict(weights), (images,))
            finally:
                for handle in handles:
                    handle.remove()

        return run


def random_rotation(seed: int, purpose: str, size: int) -> Float32[np.ndarray, "size size"]:
    """An orthogonal matrix, evenly spread over all of them (Mezzadri, 2007)."""
    normal = seeded.normal(seed, purpose, (size, size), 1.0).astype(np.float64)
    q, r = np.linalg.qr(normal)
    return (q * np.sign(np.diag(r))).astype(np.float32)


def _rotate(rotation: Tensor) -> Any:
    """A hook that rotates what a layer is given."""
    return lambda module, inputs: (inputs[0] @ rotation.T,)
