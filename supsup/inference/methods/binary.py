"""Binary: superpose, keep the better half, again."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from maskstore.numbers import parse_whole
from supsup.inference.methods.base import Method
from supsup.inference.query import Query
from supsup.inference.superposition import gradients


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Method):
    """Keeps one in ``base`` masks a round until one is left (paper, Algorithm 2: base 2).

    Of n masks exactly ceil(n / base) survive, at least one fewer each round, of equal ones the
    first: it ends after ceil(log_base k) rounds. That is what the paper's code keeps where no
    gradients are equal: all up to the median or the k-th, that one included. The paper's text drops
    the median, too, which makes a difference for an odd number of masks.

    Attributes:
        base: whole number from 2.
        keep_median: False for the text's rule: floor(n / base) survive, at least one.

    Raises:
        InvalidInput: the base is below 2.
    """

    name: ClassVar[str] = "binary"
    base: int = 2
    keep_median: bool = True

    def __post_init__(self) -> None:
        base = parse_whole("binary", self.base, least=2, expected="a base from 2")
        object.__setattr__(self, "base", base)

    def evidence(self, query: Query) -> Float64[np.ndarray, "group task"]:
        """The gradients of the last round; -inf for what earlier rounds dropped."""
        first = -gradients(query)
        for scores, group in zip(first, query.groups(), strict=True):
            self._rule_out(group, scores)
        return first

    def _rule_out(self, query: Query, scores: Float64[np.ndarray, " task"]) -> None:
        left = np.arange(len(scores))
        while len(left) > self.base:
            kept = -(-len(left) // self.base) if self.keep_median else len(left) // self.base
            best = np.argsort(-scores[left], kind="stable")[:kept]
            left = np.sort(left[best])
            now = -gradients(query, rows=left)[0]
            scores[:] = -np.inf
            scores[left] = now
