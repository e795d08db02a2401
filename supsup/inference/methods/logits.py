"""Logits: the most confident class over the concatenated logits of all masks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from supsup.inference.forward_all import forward_masks
from supsup.inference.methods.base import Method
from supsup.inference.query import Query


@dataclass(frozen=True, slots=True)
class Logits(Method):
    """The mask that has the largest class logit: one classifier over the classes of all tasks.

    The objective takes no part. For a batch the largest logits of its images are averaged.
    """

    name: ClassVar[str] = "logits"

    def evidence(self, query: Query) -> Float64[np.ndarray, "group task"]:
        def reduce(logits: Tensor) -> Tensor:
            return logits[..., : query.bank.class_count(logits.shape[-1])].amax(-1)

        return query.by_group(forward_masks(query.bank, query.x, reduce))
