"""Logits: the most confident class over the concatenated logits of all masks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64, Int64
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
        def reduce(logits: Tensor, masks: Int64[np.ndarray, " task"]) -> Tensor:
            logits = logits[..., : query.bank.class_count(logits.shape[-1])]
            if (counts := query.bank.class_counts) is not None:
                own = np.arange(logits.shape[-1]) < counts[masks][:, None, None]
                logits = logits.where(torch.from_numpy(own).to(logits.device), -torch.inf)
            return logits.amax(-1)

        return query.by_group(forward_masks(query.bank, query.x, reduce))
