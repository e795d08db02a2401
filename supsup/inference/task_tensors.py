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
from supsup.networks.statistics import parse_kept

Rows = slice | Int64[np.ndarray, " n"]


class TaskTensors:
    """The tensors of K tasks, on the network's device; of a network without any, none.

    Attributes:
        flat: a row a task, its tensors one after another.
    """

    def __init__(self, backbone: Backbone, rows: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Put them into rows.

        Raises:
            InvalidInput: a task's are not those that the network has.
        """
        expected = backbone.kept_tensors
        self._shapes = {name: tuple(each.shape) for name, each in expected.items()}
        width = sum(map(math.prod, self._shapes.values()))
        self.flat: Float32[Tensor, "task numbers"] = torch.empty(
            len(rows), width, dtype=torch.float32, device=backbone.device
        )
        for into, row in zip(self.flat, rows, strict=True) if width else ():
            tensors = parse_kept(expected, row, f"network {backbone.name}")
            into.copy_(torch.cat([each.flatten() for each in tensors.values()]))

    @classmethod
    def of_archive(
        cls, backbone: Backbone, archive: MaskArchive, names: Sequence[str]
    ) -> "TaskTensors":
        """Those of the tasks of those names."""
        if not backbone.kept_tensors:
            return cls.none(backbone)
        return cls(backbone, [archive.tensors(name) for name in names])

    @classmethod
    def none(cls, backbone: Backbone) -> "TaskTensors":
        """Those of masks alone.

        Raises:
            InvalidInput: the network needs more than masks.
        """
        if backbone.kept_tensors:
            raise InvalidInput(
                f"network {backbone.name}: its tasks have statistics of their own, which masks "
                "alone do not tell; hand over the archive, or the bank of it"
            )
        return cls(backbone, [])

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
