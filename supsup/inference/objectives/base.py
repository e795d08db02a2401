"""The family of objectives."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from maskstore.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective(ABC):
    """A number per image, low where the network under a mask is sure of its answer.

    Attributes:
        name: what the command line and reports call it.
        temperature: logits are divided by it first. Above 1 it takes confidence away.

    Raises:
        InvalidInput: a temperature that is not a positive number.
    """

    name: ClassVar[str]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < math.inf:
            raise InvalidInput(f"temperature: expected a positive number, got {self.temperature!r}")

    @abstractmethod
    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        """The objective of each image, differentiable in the logits.

        Args:
            logits: divided by the temperature already.
            classes: outputs that stand for a class; those behind are superfluous.
        """

    def check(self, outputs: int, classes: int) -> None:  # noqa: B027 - most take any network
        """Raise InvalidInput where the objective has no meaning for such a network."""

    def __call__(
        self, logits: Float[Tensor, "*batch outputs"], classes: int
    ) -> Float[Tensor, "*batch"]:
        """The objective of each image; lower is more certain."""
        return self.of(logits if self.temperature == 1.0 else logits / self.temperature, classes)
