"""Free energy."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from supsup.familiarity import free_energy
from supsup.inference.objectives.base import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy(Objective):
    """E = -T logsumexp(z / T) over the class outputs (Liu et al., 2020, eq. 4): low on data like
    that of training. The factor T, the same for all masks, is kept so that values are theirs."""

    name: ClassVar[str] = "energy"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        return self.temperature * free_energy(logits, classes)
