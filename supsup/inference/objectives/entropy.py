"""Entropy of the output distribution."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from supsup.inference.objectives.base import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Entropy(Objective):
    """H(p) = -Σ p log p over all outputs, in nats (paper, section 5.2, ℋ)."""

    name: ClassVar[str] = "entropy"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        # H = log Σ exp z - Σ p z: no logarithm of a probability that may be 0.
        shifted = logits - logits.detach().amax(-1, keepdim=True)
        weights = shifted.exp()
        total = weights.sum(-1)
        return total.log() - (weights * shifted).sum(-1) / total
