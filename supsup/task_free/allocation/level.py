"""Level: a batch is a mask's if its loss is near that of the mask's own batches."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maskstore.numbers import parse_real
from supsup.inference import AUTO_OBJECTIVE, Hybrid, MaskBank, choose
from supsup.inference.forward_all import forward_masks
from supsup.inference.query import Query
from supsup.task_free.allocation.base import Allocation, Verdict

ENOUGH_IMAGES = 64
"""Images of a batch that are looked at: the mean loss of so many is known to a tenth of the gap."""

SCREENING_IMAGES, SCREENED = 8, 64
"""Of more masks than so many, those of lowest loss on the first images alone are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level(Allocation):
    """The mask with the lowest loss on the labelled batch, if that is like on its own batches.

    Scenario NNs hides the task in training, not the labels. Every mask is tried where that is
    affordable (:func:`supsup.inference.auto`), most of them on a few images only; of more, those
    whose gradient stands out (paper, eq. 5). That gradient is a good way to candidates but a poor
    measure of novelty: on a new task k · max v of masks of the default training is 1.2 to 1.6 from
    k = 50 on, where the paper's code takes 1.125 for familiar (:class:`supsup.task_free.Uniform`).
    A mask's loss says it plainly, whatever k: on PermutedMNIST 0.06 to 0.24 on its own task and 2.7
    to 3.6 on another, with 1 to 200 masks (docs/results/nns.md).

    The bar is ``share`` of the way from the mask's level, its running mean loss, to ln(classes),
    the loss of who knows nothing, so it follows a mask while it learns and has no scale to tune.

    Attributes:
        share: in (0, 1). Smaller makes new masks sooner.

    Raises:
        InvalidInput: the share is out of range.
    """

    name: ClassVar[str] = "level"
    confirm: ClassVar[int] = 3
    share: float = 0.5

    def __post_init__(self) -> None:
        share = parse_real("share", self.share, "a number between 0 and 1", lambda x: 0 < x < 1)
        object.__setattr__(self, "share", share)

    def judge(
        self,
        bank: MaskBank,
        levels: Float64[np.ndarray, " task"],
        x: Float[Tensor, "batch ..."],
        y: Int64[Tensor, " batch"],
    ) -> Verdict:
        x, y = x[:ENOUGH_IMAGES], y[:ENOUGH_IMAGES]
        listed = np.arange(len(bank))
        method, _ = choose(bank, images=len(x), mode="batch")
        if isinstance(method, Hybrid):
            query = Query(bank=bank, x=x, objective=AUTO_OBJECTIVE, per_image=False)
            listed = method.listed(query)[0]
        if len(listed) > SCREENED:
            few = slice(SCREENING_IMAGES)
            order = _losses(bank, x[few], y[few], listed).argsort(kind="stable")
            listed = np.sort(listed[order[:SCREENED]])
        losses = _losses(bank, x, y, listed)
        at = int(losses.argmin())
        best = int(listed[at])
        assert bank.classes is not None
        bar = self._bar(float(levels[best]), bank.classes)
        return Verdict(mask=best, known=bool(losses[at] <= bar))

    def doubts(self, loss: float, level: float, classes: int) -> bool:
        return self.ripe(level, classes) and loss > self._bar(level, classes)

    def ripe(self, level: float, classes: int) -> bool:
        # Before that, its own batches can lie above the bar by chance.
        return level <= (1 - self.share) * math.log(classes)

    def _bar(self, level: float, classes: int) -> float:
        guess = math.log(classes)
        # A mask that knows nothing recognises nothing.
        return level + self.share * (guess - level) if level < guess else -math.inf


def _losses(
    bank: MaskBank,
    x: Float[Tensor, "batch ..."],
    y: Int64[Tensor, " batch"],
    rows: Int64[np.ndarray, " n"],
) -> Float64[np.ndarray, " n"]:
    """The mean loss of each of these masks on a labelled batch."""

    def reduce(logits: Tensor, masks: Int64[np.ndarray, " task"]) -> Tensor:
        right = y.expand(len(logits), -1).unsqueeze(-1)
        return -logits.log_softmax(-1).gather(-1, right).squeeze(-1)

    return forward_masks(bank, x, reduce, rows=rows).mean(1)
