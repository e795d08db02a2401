"""Where training starts: initial scores that a seed regenerates.

A mask differs from that of its initial scores only where training changed it, so whoever reads
the archive can regenerate most of a mask from the few numbers recorded here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from maskstore import seeded
from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStart:
    """Initial scores, uniform in ±1/sqrt(fan_in), one stream per layer.

    That is the reference's ``kaiming_uniform_(a=sqrt(5))``. fan_in is the product of all axes but
    the first; for a layer with one axis (one score a neuron) it is its length.

    Attributes:
        seed: whole number, at least 0.
        stream: layer ``name`` is drawn for the purpose ``stream + "/" + name``, see
            :mod:`maskstore.seeded`. Tasks with the same stream start from the same scores.

    Raises:
        InvalidInput: the seed or the stream cannot be used.
    """

    seed: int
    stream: str = "scores"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", seeded.parse_seed(self.seed))
        if not isinstance(self.stream, str) or not self.stream.isprintable() or not self.stream:
            raise InvalidInput(f"score stream: expected printable text, got {self.stream!r}")

    def draw(self, layout: MaskLayout) -> dict[str, Float32[np.ndarray, "..."]]:
        """The initial scores of every layer."""
        scores = {}
        for name, shape in layout.shapes.items():
            bound = 1.0 / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else shape[0])
            purpose = f"{self.stream}/{name}"
            scores[name] = seeded.uniform(self.seed, purpose, shape, -bound, bound)
        return scores

    def top_bytes(self, name: str, count: int) -> UInt8[np.ndarray, " count"]:
        """The highest byte of the word behind each score of a layer: its order, in integers.

        A score grows with its word; it is not negative where the word's highest bit is set (but
        for one word in 2**53, whose score rounds to 0).
        """
        words = seeded.stream(self.seed, f"{self.stream}/{name}").random_raw(count)
        return (words >> np.uint64(56)).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        """The start as JSON."""
        return {"seed": self.seed, "stream": self.stream}

    @classmethod
    def from_json(cls, value: object) -> "ScoreStart":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        if not isinstance(value, dict) or value.keys() != {"seed", "stream"}:
            raise InvalidInput(f"score start: expected seed and stream, got {value!r:.80}")
        return cls(**value)
