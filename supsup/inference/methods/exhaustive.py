"""Exhaustive: try every mask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from supsup.inference.bank import MaskBank
from supsup.inference.forward_all import Reduce, forward_masks
from supsup.inference.methods.base import Method
from supsup.inference.objectives import Objective


@dataclass(frozen=True, slots=True)
class Exhaustive(Method):
    """The mask under which the objective is lowest: k forward passes (paper, GNs and GNu)."""

    name: ClassVar[str] = "exhaustive"

    def evidence(
        self,
        bank: MaskBank,
        x: Float[Tensor, "batch ..."],
        objective: Objective,
        *,
        per_image: bool,
    ) -> Float64[np.ndarray, "group task"]:
        values = forward_masks(bank, x, reducer(bank, objective))
        return -values.T if per_image else -values.mean(1)[None]


def reducer(bank: MaskBank, objective: Objective) -> Reduce:
    """Logits of masks to the objective of each image, with the bank's classes."""

    def reduce(logits: Tensor) -> Tensor:
        classes = bank.class_count(logits.shape[-1])
        objective.check(logits.shape[-1], classes)
        return objective(logits, classes)

    return reduce
