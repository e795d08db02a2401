"""Uniform: the paper's rule (eq. 5), as its code runs it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maskstore.numbers import parse_real, parse_whole
from supsup.inference import Entropy, MaskBank
from supsup.inference.query import Query
from supsup.inference.superposition import gradients
from supsup.task_free.allocation.base import Allocation, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform(Allocation):
    """New where v = softmax(-∂H/∂α) is nearly uniform: k · max v < ratio (paper, eq. 5).

    In the paper's code (``trainers/nns.py``) k is never below 5: masks that have not begun to learn
    take part where there are fewer, so that one mask alone has something to stand out from. It
    decides every hundredth batch and at once. That is :class:`supsup.task_free.Learner` with this
    rule and its defaults; the training that goes with it is RMSprop at a constant 1e-4, each mask
    from scores of its own. With ``floor=1`` v is 1 at one mask whatever the data, so that the rule
    makes a second mask at the first decision.

    A mask that has not begun to learn can have the largest v of all and reach the ratio. The
    paper's code then trains that one without counting it; here it is a new mask.

    Attributes:
        ratio: above 1; the paper's code has 1.125.
        floor: fewest masks that are weighed.

    Raises:
        InvalidInput: the ratio or the floor is out of range.
    """

    name: ClassVar[str] = "uniform"
    confirm: ClassVar[int] = 1
    ratio: float = 1.125
    floor: int = 5

    def __post_init__(self) -> None:
        ratio = parse_real("ratio", self.ratio, "a number above 1", lambda x: x > 1)
        object.__setattr__(self, "ratio", ratio)
        object.__setattr__(self, "floor", parse_whole("floor", self.floor))

    @property
    def least(self) -> int:
        return self.floor

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
        known = bool(len(v) / v.sum() >= self.ratio) and best < len(levels)
        return Verdict(mask=min(best, len(levels) - 1), known=known)

    def doubts(self, loss: float, level: float, classes: int) -> bool:
        return False

    def ripe(self, level: float, classes: int) -> bool:
        return True
