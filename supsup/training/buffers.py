"""Buffers: what tasks in flight keep in memory, one row a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from maskstore.layout import MaskLayout
from maskstore.seeded.scores import ScoreStart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Buffers:
    """Rows of T tasks; in a row the layers lie one after another, so one call updates them all.

    Attributes:
        layout: names and shapes of the layers.
        scores: what is trained.
        weights: W ⊙ M, what the network runs on; float32, or bfloat16 where that is computed in.
        gradient: ∂loss/∂(W ⊙ M), in the type of ``weights``.
        tensors: what else a task has of its own, which the network's forward changes, by name.
        own: parameters that each task has of its own, which are trained, too, by name.
        own_gradient: ∂loss/∂own.
    """

    layout: MaskLayout
    scores: Float32[Tensor, "task bits"]
    weights: Float[Tensor, "task bits"]
    gradient: Float[Tensor, "task bits"]
    tensors: Mapping[str, Shaped[Tensor, "task ..."]] = field(default_factory=dict)
    own: Mapping[str, Float32[Tensor, "task ..."]] = field(default_factory=dict)
    own_gradient: Mapping[str, Float32[Tensor, "task ..."]] = field(default_factory=dict)

    @classmethod
    def draw(
        cls,
        layout: MaskLayout,
        starts: Sequence[ScoreStart],
        device: torch.device,
        dtype: torch.dtype,
        tensors: Mapping[str, Tensor] | None = None,
        own: Mapping[str, Tensor] | None = None,
    ) -> "Buffers":
        """Buffers whose scores are the initial ones of those starts; each start is drawn once.

        Args:
            tensors, own: what those of every task begin as; None for a network without any.
        """
        parameters = {n: torch.stack([t] * len(starts)) for n, t in (own or {}).items()}
        rows: dict[ScoreStart, Tensor] = {}
        for start in starts:
            if start not in rows:
                rows[start] = torch.from_numpy(layout.join(start.draw(layout)))
        scores = torch.empty(len(starts), layout.bits, dtype=torch.float32, device=device)
        for row, start in zip(scores, starts, strict=True):
            row.copy_(rows[start])
        return cls(
            layout=layout,
            scores=scores,
            weights=torch.empty_like(scores, dtype=dtype),
            gradient=torch.empty_like(scores, dtype=dtype),
            tensors={n: torch.stack([t] * len(starts)) for n, t in (tensors or {}).items()},
            own=parameters,
            own_gradient={n: torch.zeros_like(each) for n, each in parameters.items()},
        )

    def layers(self, flat: Float[Tensor, "task bits"]) -> dict[str, Float[Tensor, "task ..."]]:
        """Views of a buffer, by layer."""
        return self.layout.split(flat)
