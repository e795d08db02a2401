"""One-Shot: one gradient step over all masks in superposition."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from supsup.inference.bank import MaskBank
from supsup.inference.methods.base import Method
from supsup.inference.objectives import Objective
from supsup.inference.superposition import gradients


@dataclass(frozen=True, slots=True)
class OneShot(Method):
    """argmax -∂H/∂α_i at uniform α (paper, Algorithm 1)."""

    name: ClassVar[str] = "one-shot"

    def evidence(
        self,
        bank: MaskBank,
        x: Float[Tensor, "batch ..."],
        objective: Objective,
        *,
        per_image: bool,
    ) -> Float64[np.ndarray, "group task"]:
        return -gradients(bank, x, objective, per_image=per_image)
