"""Maximum softmax probability."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from supsup.inference.objectives.base import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxProbability(Objective):
    """-max p over all outputs (Hendrycks and Gimpel, 2017). Flat where the network is certain, so
    it tells sure masks apart worse than the others do."""

    name: ClassVar[str] = "max-probability"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        return -logits.softmax(-1).amax(-1)
