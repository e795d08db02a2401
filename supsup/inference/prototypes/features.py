"""Features that are the same for every task and for ever: of the frozen network, or of the input.

An input, or what a layer of the unmasked network makes of it, is flattened (a layer's output is
first averaged over the axes after its channels), scaled to mean square 1, and projected at random:
φ(x) = √2 cos(γ W x̂ + b) with W of ±1/√inputs and b even over a turn, all from a seed (Rahimi and
Recht, 2007: inner products of φ approximate a Gaussian kernel). φ is bounded, so that means keep
8 bits and covariances whole numbers without a scale of their own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from maskstore.seeded import streams as seeded
from supsup.networks.backbone import Backbone
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs

_WIDTH = 0.85
"""γ. On held-out training images of SplitMNIST 0.7 to 1 are equal within 0.1 points
(docs/results/prototypes.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRecipe:
    """Everything that decides the features, apart from the network.

    Attributes:
        size: numbers of a feature vector. 248 of them, a scale and a count are 256 bytes a class.
        seed: of the projection.
        layer: a module of the network, by name, whose output is projected; None for the input.

    Raises:
        InvalidInput: a value out of range.
    """

    size: int = 248
    seed: int = 0
    layer: str | None = None

    def __post_init__(self) -> None:
        size = parse_whole("prototypes: features", self.size, least=2, most=1 << 13)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "seed", seeded.parse_seed(self.seed))
        if self.layer is not None and (not isinstance(self.layer, str) or not self.layer):
            raise InvalidInput(f"prototypes: expected the name of a layer, got {self.layer!r}")

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON."""
        return {"size": self.size, "seed": self.seed, "layer": self.layer}

    @classmethod
    def from_json(cls, value: Any) -> "FeatureRecipe":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        if not isinstance(value, Mapping) or set(value) != {"size", "seed", "layer"}:
            raise InvalidInput("prototypes: a recipe of features has size, seed and layer")
        return cls(**value)


class Features:
    """φ for one network; the projection is drawn at the first input, whose width it takes."""

    def __init__(self, recipe: FeatureRecipe, backbone: Backbone) -> None:
        """Features of a recipe.

        Raises:
            InvalidInput: the network has no such layer.
        """
        self.recipe = recipe
        self._backbone = backbone.replica()
        self._projection: tuple[Tensor, Tensor] | None = None
        modules = dict(self._backbone.module.named_modules())
        if recipe.layer is not None and recipe.layer not in modules:
            known = ", ".join(name for name in modules if name)
            raise InvalidInput(f"prototypes: no layer {recipe.layer!r}; the network has: {known}")

    def __call__(self, x: Inputs) -> Float32[np.ndarray, "batch feature"]:
        """φ of a batch of inputs, as the network takes them.

        Raises:
            InvalidInput: inputs of another width than before, or no numbers to project.
        """
        with torch.no_grad():
            flat = self._numbers(map_inputs(lambda each: each.to(self._backbone.device), x))
            scale = flat.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
            weights, phases = self._projected(flat.shape[1], flat.device)
            values = torch.cos(_WIDTH * (flat / scale) @ weights + phases) * math.sqrt(2.0)
        return values.cpu().numpy()

    def _numbers(self, x: Inputs) -> Float32[Tensor, "batch number"]:
        layer = self.recipe.layer
        if layer is None:
            if not isinstance(x, Tensor) or not x.is_floating_point():
                raise InvalidInput(
                    "prototypes: inputs that are no real numbers have no projection; name a layer "
                    "of the network (--layer NAME) whose output is taken"
                )
            return x.flatten(1).to(torch.float32)
        caught: list[Tensor] = []
        module = self._backbone.module.get_submodule(layer)
        hook = module.register_forward_hook(lambda _, __, output: caught.append(output))
        try:
            self._backbone.run(x, self._backbone.weights)
        finally:
            hook.remove()
        if not caught or not isinstance(caught[-1], Tensor) or caught[-1].ndim < 2:
            raise InvalidInput(f"prototypes: layer {layer!r} gives no batch of numbers")
        output = caught[-1]
        if output.ndim > 2:
            output = output.flatten(2).mean(2)
        return output.to(torch.float32)

    def _projected(self, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        if self._projection is None:
            seed, size = self.recipe.seed, self.recipe.size
            weights = seeded.signs(seed, "prototypes/weights", (width, size))
            phases = seeded.uniform(seed, "prototypes/phases", (size,), 0.0, 2 * math.pi)
            self._projection = (
                torch.from_numpy(weights / np.float32(math.sqrt(width))).to(device),
                torch.from_numpy(phases).to(device),
            )
        if self._projection[0].shape[0] != width:
            raise InvalidInput(
                f"prototypes: expected inputs of {self._projection[0].shape[0]} numbers, got "
                f"{width}; all tasks of an archive share their features"
            )
        return self._projection
