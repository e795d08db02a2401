"""Buffers: what tasks in flight keep in memory, one row a task."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from maskstore.layout import MaskLayout
from maskstore.seeded.scores import ScoreStart

_LINE = 16
"""Floats in a line of the cache: columns that begin with one are added a sixth faster."""


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
        turned: matrices that lie in memory column after column, not row after row, each column in
            whole lines of the cache: what is behind its numbers is 0 in every buffer.
    """

    layout: MaskLayout
    scores: Float32[Tensor, "task bits"]
    weights: Float[Tensor, "task bits"]
    gradient: Float[Tensor, "task bits"]
    tensors: Mapping[str, Shaped[Tensor, "task ..."]] = field(default_factory=dict)
    own: Mapping[str, Float32[Tensor, "task ..."]] = field(default_factory=dict)
    own_gradient: Mapping[str, Float32[Tensor, "task ..."]] = field(default_factory=dict)
    turned: frozenset[str] = frozenset()

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
        """Views of a buffer, by layer, each in the shape of the layout."""
        shapes = self.layout.shapes
        return {
            name: part.mT[:, : shapes[name][0]] if name in self.turned else part
            for name, part in self._memory.split(flat).items()
        }

    def columns(self, flat: Float[Tensor, "task bits"], name: str) -> Float[Tensor, "task in wide"]:
        """A view of a turned matrix as it lies in memory: (input, unit), and zeros behind."""
        return self._memory.split(flat)[name]

    def turn(self, names: Collection[str]) -> "Buffers":
        """These, of which none is turned, with some turned; all numbers are as they were."""
        if not names:
            return self
        other = replace(self, turned=frozenset(names))
        return replace(
            other,
            scores=other.as_here(self.scores),
            weights=other.as_here(self.weights),
            gradient=other.as_here(self.gradient),
        )

    def as_here(self, flat: Float[Tensor, "task bits"]) -> Float[Tensor, "task all"]:
        """Numbers in the order of the layout, in that of these buffers."""
        if not self.turned:
            return flat
        found = flat.new_zeros(len(flat), self._memory.bits)
        _copy(self.layout.split(flat), self.layers(found))
        return found

    def as_in_layout(self, flat: Float[Tensor, "task all"]) -> Float[Tensor, "task bits"]:
        """The inverse of :meth:`as_here`: a buffer in the order of the layout."""
        if not self.turned:
            return flat
        found = flat.new_empty(len(flat), self.layout.bits)
        _copy(self.layers(flat), self.layout.split(found))
        return found

    @property
    def _memory(self) -> MaskLayout:
        """What lies where in a row."""
        if not self.turned:
            return self.layout
        return MaskLayout(
            {
                name: (shape[1], -(-shape[0] // _LINE) * _LINE) if name in self.turned else shape
                for name, shape in self.layout.shapes.items()
            }
        )


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, layer in source.items():
        target[name].copy_(layer)
