"""Exhaustive: try every mask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from supsup.inference.forward_all import forward_masks
from supsup.inference.methods.base import Method
from supsup.inference.query import Query


@dataclass(frozen=True, slots=True)
class Exhaustive(Method):
    """The mask under which the objective is lowest: k forward passes (paper, GNs and GNu)."""

    name: ClassVar[str] = "exhaustive"

    def evidence(self, query: Query) -> Float64[np.ndarray, "group task"]:
        return -query.by_group(forward_masks(query.bank, query.x, query.values))
