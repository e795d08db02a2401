"""Uniform: the reference's rule, for comparison."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maskstore.numbers import parse_real
from supsup.inference import Entropy, MaskBank
from supsup.inference.query import Query
from supsup.inference.superposition import gradients
from supsup.task_free.allocation.base import Allocation, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform(Allocation):
    """New where v = softmax(-∂H/∂α) is nearly uniform: k · max v < ratio (paper, eq. 5).

    With one mask v is 1 whatever the data, so the rule makes a second at the first decision.

    Attributes:
        ratio: above 1; the reference's is 1.125.

    Raises:
        InvalidInput: the ratio is out of range.
    """

    name: ClassVar[str] = "uniform"
    ratio: float = 1.125

    def __post_init__(self) -> None:
        ratio = parse_real("ratio", self.ratio, "a number above 1", lambda x: x > 1)
        object.__setattr__(self, "ratio", ratio)

    def judge(
        self,
        bank: MaskBank,
        levels: Float64[np.ndarray, " task"],
        x: Float[Tensor, "batch ..."],
        y: Int64[Tensor, " batch"],
    ) -> Verdict:
        query = Query(bank=bank, x=x, objective=Entropy(), per_image=False)
        slopes = gradients(query)[0]
        best = int(slopes.argmin())
        v = np.exp(slopes[best] - slopes)
        return Verdict(mask=best, known=bool(len(v) / v.sum() >= self.ratio))

    def doubts(self, loss: float, level: float, classes: int) -> bool:
        return False

    def ripe(self, level: float, classes: int) -> bool:
        return True
