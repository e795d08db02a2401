"""The outputs that belong to no class."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.inference.objectives.base import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Superfluous(Objective):
    """G = logsumexp of the superfluous outputs (paper, superfluous neurons).

    Training pushes outputs that never are the label down, on the task's own data only. The paper
    takes the logsumexp of all outputs and lets the gradient through the superfluous ones alone;
    for one image that is this gradient times a positive number, so the same task is found, and
    here the value is comparable between masks, too.
    """

    name: ClassVar[str] = "superfluous"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        return logits[..., classes:].logsumexp(-1)

    def check(self, outputs: int, classes: int) -> None:
        if outputs <= classes:
            raise InvalidInput(
                f"objective superfluous: the network has {outputs} outputs for {classes} classes "
                "and none to spare; use --objective entropy, or train with more --outputs"
            )
