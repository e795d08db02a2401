"""Hybrid: One-Shot for a shortlist, then every mask on it by itself."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from maskstore.numbers import parse_whole
from supsup.inference.methods.base import Method
from supsup.inference.methods.shortlist import evidence_on
from supsup.inference.objectives import Objective
from supsup.inference.query import Query
from supsup.inference.superposition import gradients


@dataclass(frozen=True, slots=True, kw_only=True)
class Hybrid(Method):
    """The lowest objective among the masks whose gradients stand out, to either side.

    Half of the shortlist are the masks that One-Shot likes best, half those that it likes least.
    The right mask stands out, but the sign depends on how it was trained: on masks of this
    package's default trainer (SGD) the gradient of the right mask is often the *worst* of all, on
    those of Adam the best (docs/results/sparse_inference.md).

    Costs One-Shot and ``shortlist`` forward passes. It errs only where the right mask is not on the
    list or where the exhaustive search would err.

    Attributes:
        shortlist: masks tried by themselves, at least 1.
        lists_by: objective of the gradients; None for the one that ranks.

    Raises:
        InvalidInput: the shortlist is below 1.
    """

    name: ClassVar[str] = "hybrid"
    shortlist: int = 32
    lists_by: Objective | None = None

    def __post_init__(self) -> None:
        count = parse_whole("hybrid", self.shortlist, expected="a shortlist from 1")
        object.__setattr__(self, "shortlist", count)

    def evidence(self, query: Query) -> Float64[np.ndarray, "group task"]:
        return evidence_on(query, self.listed(query))

    def listed(self, query: Query) -> Int64[np.ndarray, "group shortlist"]:
        """The shortlist of each group, in ascending order; all masks where there are few."""
        by = query.objective if self.lists_by is None else self.lists_by
        slopes = gradients(replace(query, objective=by))
        return np.sort(both_ends(slopes, min(self.shortlist, len(query.bank))), axis=1)


def both_ends(
    slopes: Float64[np.ndarray, "group task"], size: int
) -> Int64[np.ndarray, "group shortlist"]:
    """Per row the ``size`` indices whose numbers stand out: half the lowest, half the highest."""
    order = np.argsort(slopes, axis=1, kind="stable")
    worst = order.shape[1] - size // 2
    return np.concatenate([order[:, : size - size // 2], order[:, worst:]], axis=1)
