"""One-Shot: one gradient step over all masks in superposition."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from supsup.inference.methods.base import Method
from supsup.inference.query import Query
from supsup.inference.superposition import gradients


@dataclass(frozen=True, slots=True)
class OneShot(Method):
    """argmax -∂H/∂α_i at uniform α (paper, Algorithm 1)."""

    name: ClassVar[str] = "one-shot"

    def evidence(self, query: Query) -> Float64[np.ndarray, "group task"]:
        return -gradients(query)
