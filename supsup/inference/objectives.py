"""Objectives: how little a network's answer says that the mask is the right one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_positive
from maskstore.registry import check_one_of
from supsup.inference.kernels.entropy import entropies
from supsup.inference.ood import free_energy


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
        object.__setattr__(self, "temperature", parse_positive("temperature", self.temperature))

    @abstractmethod
    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        """The objective of each image, differentiable in the logits.

        Args:
            logits: divided by the temperature already.
            classes: outputs that stand for a class; those behind are superfluous.
        """

    @abstractmethod
    def relative(
        self, logits: Float[Tensor, "*batch outputs"], classes: int
    ) -> Float[Tensor, "*batch"]:
        """As :meth:`of`, comparable between tasks of other numbers of classes.

        Only the task's own classes count, and what more of them would add by themselves is taken
        out: an answer that says nothing has the same value, whatever their number.

        Raises:
            InvalidInput: for so few classes the objective says nothing.
        """

    def check(self, outputs: int, classes: int) -> None:  # noqa: B027 - most take any network
        """Raise InvalidInput where the objective has no meaning for such a network."""

    def __call__(
        self, logits: Float[Tensor, "*batch outputs"], classes: int, *, relative: bool = False
    ) -> Float[Tensor, "*batch"]:
        """The objective of each image; lower is more certain.

        Args:
            relative: whether it is set beside that of tasks with other numbers of classes.
        """
        logits = logits if self.temperature == 1.0 else logits / self.temperature
        return self.relative(logits, classes) if relative else self.of(logits, classes)

    def _require_choice(self, classes: int) -> None:
        """Raise InvalidInput where there is one class, of which every answer is certain."""
        if classes < 2:
            raise InvalidInput(
                f"objective {self.name}: a task of one class answers every image with certainty, "
                "so it cannot be told from tasks of more; use --objective energy"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy(Objective):
    """E = -T logsumexp(z / T) over the class outputs (Liu et al., 2020, eq. 4): low on data like
    that of training. The factor T, the same for all masks, is kept so that values are theirs."""

    name: ClassVar[str] = "energy"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        return self.temperature * free_energy(logits, classes)

    def relative(
        self, logits: Float[Tensor, "*batch outputs"], classes: int
    ) -> Float[Tensor, "*batch"]:
        return self.temperature * (free_energy(logits, classes) + math.log(classes))


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

    def relative(
        self, logits: Float[Tensor, "*batch outputs"], classes: int
    ) -> Float[Tensor, "*batch"]:
        """H over the classes, divided by log C, its largest value."""
        self._require_choice(classes)
        return self.of(logits[..., :classes], classes) / math.log(classes)


def _is_plain(logits: Tensor) -> bool:
    return logits.device.type == "cpu" and logits.dtype == torch.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxProbability(Objective):
    """-max p over all outputs (Hendrycks and Gimpel, 2017). Flat where the network is certain, so
    it tells sure masks apart worse than the others do."""

    name: ClassVar[str] = "max-probability"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        return -logits.softmax(-1).amax(-1)

    def relative(
        self, logits: Float[Tensor, "*batch outputs"], classes: int
    ) -> Float[Tensor, "*batch"]:
        """From 0, a guess among the classes, to -1."""
        self._require_choice(classes)
        guess = 1 / classes
        return -(logits[..., :classes].softmax(-1).amax(-1) - guess) / (1 - guess)


@dataclass(frozen=True, slots=True, kw_only=True)
class Superfluous(Objective):
    """G = logsumexp of the superfluous outputs (paper, superfluous neurons).

    Training pushes outputs that never are the label down, on the task's own data only. For one
    image its gradient is that of the paper's code (:class:`PaperG`) times a positive number, so the
    same task is found; on a batch, whose images that number weighs, it need not be. Here the value
    is comparable between masks, too.
    """

    name: ClassVar[str] = "superfluous"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        return logits[..., classes:].logsumexp(-1)

    def relative(
        self, logits: Float[Tensor, "*batch outputs"], classes: int
    ) -> Float[Tensor, "*batch"]:
        return self.of(logits, classes) - math.log(logits.shape[-1] - classes)

    def check(self, outputs: int, classes: int) -> None:
        _check_spare(self.name, outputs, classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperG(Objective):
    """G as the paper's code has it (``adaptors.py``): logsumexp of all outputs, those of classes
    without a gradient.

    An image's slope is then weighted by the probability of its superfluous outputs: in a batch the
    images that the superposed network takes for no class decide. As a value it says little: the
    class outputs are in it, loud under the right mask.
    """

    name: ClassVar[str] = "g"

    def of(self, logits: Float[Tensor, "*batch outputs"], classes: int) -> Float[Tensor, "*batch"]:
        own = logits[..., :classes].detach()
        return torch.cat([own, logits[..., classes:]], -1).logsumexp(-1)

    def relative(
        self, logits: Float[Tensor, "*batch outputs"], classes: int
    ) -> Float[Tensor, "*batch"]:
        return self.of(logits, classes) - math.log(logits.shape[-1])

    def check(self, outputs: int, classes: int) -> None:
        _check_spare(self.name, outputs, classes)


def _check_spare(objective: str, outputs: int, classes: int) -> None:
    if outputs <= classes:
        raise InvalidInput(
            f"objective {objective}: the network has {outputs} outputs for {classes} classes "
            "and none to spare; use --objective entropy, or train with more --outputs"
        )


OBJECTIVES: Mapping[str, type[Objective]] = {
    "entropy": Entropy,
    "superfluous": Superfluous,
    "energy": Energy,
    "max-probability": MaxProbability,
    "g": PaperG,
}
"""What the command line's ``--objective`` names."""


def parse_objective(objective: str | Objective, temperature: float = 1.0) -> Objective:
    """An objective from its name; one that is made already is returned as it is.

    Raises:
        InvalidInput: an unknown name, or a temperature that is not positive.
    """
    if isinstance(objective, Objective):
        return objective
    check_one_of("objective", objective, OBJECTIVES)
    return OBJECTIVES[objective](temperature=temperature)


__all__ = [
    "OBJECTIVES",
    "Energy",
    "Entropy",
    "MaxProbability",
    "Objective",
    "PaperG",
    "Superfluous",
    "parse_objective",
]
