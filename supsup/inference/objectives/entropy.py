"""Entropy of the output distribution."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from supsup.inference.kernels.entropy import entropies
from supsup.inference.objectives.base import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Entropy(Objective):
    """H(p) = -Σ p log p over all outputs, in nats (paper, scenarios GNs and GNu, ℋ)."""

    name: ClassVar[str] = "entropy"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        if not torch.is_grad_enabled() and logits.ndim == 3 and _is_plain(logits):
            return torch.from_numpy(entropies(logits.transpose(1, 2).numpy()))
        # H = log Σ exp z - Σ p z: no logarithm of a probability that may be 0.
        shifted = logits - logits.detach().amax(-1, keepdim=True)
        weights = shifted.exp()
        total = weights.sum(-1)
        return total.log() - (weights * shifted).sum(-1) / total


def _is_plain(logits: Tensor) -> bool:
    return logits.device.type == "cpu" and logits.dtype == torch.float32
