"""Signs of a backbone's frozen weights, from its recipe alone.

Which way training drives a score is the sign of a gradient times the sign of the weight, so the
signs belong to what is known of a mask before it is read. They are the specification of
``supsup.weights`` cut down to one bit a weight, in integers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from maskstore import seeded
from maskstore.errors import InvalidInput

_SIGNED = ("signed-constant", "scaled-signed-constant")
_NORMAL = ("kaiming-normal", "scaled-kaiming")


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
