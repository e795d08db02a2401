"""The specification of a backbone's frozen weights, from its recipe alone.

Parameter ``name`` of a backbone with seed s is drawn from the stream (s, "weights/" + name), see
:mod:`maskstore.seeded.streams`. With fan_in = inputs of one unit (for a convolution, times the
kernel):

- ``signed-constant``: ±sqrt(2 / fan_in) (Ramanujan et al., 2020, "signed Kaiming constant");
- ``scaled-signed-constant``: ±sqrt(2 / (fan_density * fan_in));
- ``kaiming-normal``: normal, standard deviation sqrt(2 / fan_in);
- ``scaled-kaiming``: normal, standard deviation sqrt(2 / (fan_density * fan_in)).

A vector (a bias, the scale of a normalisation) is not random: 0 if its name ends in ``bias``,
1 otherwise.

Which way training drives a score is the sign of a gradient times the sign of the weight, so the
signs belong to what is known of a mask before it is read: :class:`WeightSigns` is the same
specification cut down to one bit a weight, in integers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded

_SIGNED = ("signed-constant", "scaled-signed-constant")
_NORMAL = ("kaiming-normal", "scaled-kaiming")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSigns:
    """Where the weights of a seed are positive.

    Attributes:
        seed: of the backbone.
        init: ``signed-constant`` or ``kaiming-normal``, both also ``scaled-…``.
    """

    seed: int
    init: str

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any] | None) -> "WeightSigns | None":
        """From the ``seed`` and ``init`` of a recipe; None where it has none that are known."""
        if not isinstance(recipe, Mapping):
            return None
        init = recipe.get("init")
        try:
            seed = seeded.parse_seed(recipe.get("seed"))
        except InvalidInput:
            return None
        return cls(seed=seed, init=init) if init in (*_SIGNED, *_NORMAL) else None

    def draw(self, name: str, shape: tuple[int, ...]) -> UInt8[np.ndarray, " n"]:
        """1 where a weight of parameter ``name`` is positive, in C order."""
        count = math.prod(shape)
        if len(shape) < 2:
            # Not random: biases are 0, the scales of a normalisation 1.
            return np.full(count, 0 if name.endswith("bias") else 1, np.uint8)
        generator = seeded.stream(self.seed, f"weights/{name}")
        if self.init in _NORMAL:
            # The normal quantile of a word is positive where its highest bit is set.
            return (generator.random_raw(count) >> np.uint64(63)).astype(np.uint8)
        words = np.asarray(generator.random_raw(-(-count // 64)), "<u8")
        return np.unpackbits(words.view(np.uint8), count=count, bitorder="little")
