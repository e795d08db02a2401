"""What tasks have of their own beside masks, in inference: rows of it, and its superposition.

With coefficients α_i the network in superposition has W ⊙ Σ α_i M^i for weights and Σ α_i T^i for
every tensor T of a task, so that ∂H/∂α_i gains Σ_k T^i_k · ∂H/∂T_k beside what the mask gives.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from supsup.networks.backbone import Backbone

Rows = slice | Int64[np.ndarray, " n"]


class TaskTensors:
    """The tensors of K tasks, on the network's device; of a network without any, none.

    Attributes:
        flat: a row a task, its tensors one after another; a head that is narrower than the widest
            is filled up with zeros.
        head_widths: outputs of each task's own head, where they are fewer than the network has;
            None where there is no such head.
    """

    def __init__(self, backbone: Backbone, rows: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Put them into rows.

        Raises:
            InvalidInput: a task's are not those that the network has.
        """
        expected = backbone.kept_tensors if rows else {}
        read = [backbone.read_tensors(row) for row in rows] if expected else []
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.head_widths: Int64[np.ndarray, " task"] | None = None
        for name, begun in expected.items():
            self._shapes[name] = tuple(begun.shape)
            if begun.ndim:
                lengths = np.array([len(each[name]) for each in read], np.int64)
                self._shapes[name] = (int(lengths.max()), *begun.shape[1:])
                if lengths.min() < len(begun):
                    self.head_widths = lengths
        width = sum(map(math.prod, self._shapes.values()))
        self.flat: Float32[Tensor, "task numbers"] = torch.zeros(
            len(rows), width, dtype=torch.float32, device=backbone.device
        )
        for at, tensors in enumerate(read):
            row = self._split(self.flat[at : at + 1])  # views
            for name, tensor in tensors.items():
                where = row[name][0]
                (where[: len(tensor)] if tensor.ndim else where).copy_(tensor)

    @classmethod
    def of_archive(
        cls, backbone: Backbone, archive: MaskArchive, names: Sequence[str]
    ) -> "TaskTensors":
        """Those of the tasks of those names."""
        if not backbone.kept_tensors or not names:
            return cls(backbone, [])
        return cls(backbone, [archive.tensors(name) for name in names])

    @classmethod
    def none(cls, backbone: Backbone) -> "TaskTensors":
        """Those of masks alone.

        Raises:
            InvalidInput: the network needs more than masks.
        """
        if backbone.kept_tensors:
            raise InvalidInput(
                f"network {backbone.name}: its tasks have tensors of their own, which masks alone "
                "do not tell; hand over the archive, or the bank of it"
            )
        return cls(backbone, [])

    @property
    def uneven(self) -> bool:
        """Whether tasks have heads of different widths, which no superposition has."""
        widths = self.head_widths
        return widths is not None and bool((widths != widths[0]).any())

    @property
    def any(self) -> bool:
        """Whether tasks have any."""
        return bool(self._shapes)

    def read(self, rows: Rows) -> dict[str, Shaped[Tensor, "task ..."]]:
        """Those of some tasks, by name."""
        return self._split(self.flat[rows]) if self.any else {}

    def mean(self, rows: Int64[np.ndarray, " n"] | None) -> dict[str, Tensor]:
        """Their superposition at uniform α over ``rows`` (None: all), as leaves of autograd."""
        if not self.any:
            return {}
        chosen = self.flat if rows is None else self.flat[rows]
        mean = self._split(chosen.mean(0, keepdim=True))
        return {name: each[0].clone().requires_grad_() for name, each in mean.items()}

    def slopes(
        self,
        found: Mapping[str, Tensor],
        rows: Int64[np.ndarray, " n"] | None,
        groups: int,
    ) -> Float32[Tensor, "group task"]:
        """Their part of ∂H/∂α_i.

        Args:
            found: ∂H/∂T by name, each of ``groups`` rows or, of one group, without that axis.
        """
        chosen = self.flat if rows is None else self.flat[rows]
        flat = torch.cat([found[name].detach().reshape(groups, -1) for name in self._shapes], dim=1)
        return flat @ chosen.T

    def _split(
        self, flat: Float32[Tensor, "task numbers"]
    ) -> dict[str, Shaped[Tensor, "task ..."]]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = flat.split(sizes, dim=1)
        return {
            name: part.reshape(len(flat), *shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
