"""Transfer (the paper on SplitCIFAR100): scores that start from the mean of earlier tasks."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from supsup.masking import RULES
from supsup.training.config import TrainConfig

Masks = Mapping[str, Bool[np.ndarray, "..."]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EarlierScores:
    """The scores that ``count`` earlier tasks ended with, added up in their order.

    In ``total`` the layers lie one after another, in layout order.
    """

    total: Float32[np.ndarray, " bits"]
    count: int

    def and_those(self, scores: Float32[np.ndarray, " bits"]) -> "EarlierScores":
        """With the scores of one more task."""
        return EarlierScores(total=self.total + scores, count=self.count + 1)


class Transfer(ABC):
    """The running mean of what earlier tasks left, weight by weight.

    The seeded initial scores count as one more earlier task: the first task starts from them alone,
    and where earlier tasks balance, they decide.

    Attributes:
        count: earlier tasks.
    """

    count: int

    @abstractmethod
    def begin(self, scores: Float32[Tensor, " bits"]) -> None:
        """Turn seeded initial scores into those that the next task starts from, in place."""

    @abstractmethod
    def end(self, scores: Float32[Tensor, " bits"], masks: Masks) -> None:
        """Take what a task ended with."""


class MeanOfMasks(Transfer):
    """The text's definition: the mean of earlier masks, scaled to the seeded scores.

    With mean m in [0, 1] and the largest seeded |score| b of the layer, the mean of the scores is
    b (2m - 1) where the sign decides (``threshold``) or scores are ordered (``gradual``), and of
    their size b m where |score| does (``topk``).
    """

    def __init__(self, layout: MaskLayout, *, by_size: bool, earlier: Iterable[Masks] = ()) -> None:
        """Begin with the masks of earlier tasks.

        Args:
            by_size: whether the rule looks at |score|.
        """
        self._layout, self._by_size = layout, by_size
        self._sum, self.count = np.zeros(layout.bits, np.float32), 0
        for masks in earlier:
            self._add(masks)

    def begin(self, scores: Float32[Tensor, " bits"]) -> None:
        total = torch.from_numpy(self._sum).to(scores.device)
        for where in self._layout.offsets.values():
            layer, ones = scores[where], total[where]
            largest = layer.abs().max()
            if self._by_size:
                layer += layer.sign() * (largest * ones)
            else:
                layer += largest * (2 * ones - self.count)
        scores /= self.count + 1

    def end(self, scores: Float32[Tensor, " bits"], masks: Masks) -> None:
        self._add(masks)

    def _add(self, masks: Masks) -> None:
        self._sum += self._layout.join(masks)
        self.count += 1


class MeanOfScores(Transfer):
    """The paper's code: the mean of the scores that earlier tasks ended with."""

    def __init__(self, earlier: EarlierScores) -> None:
        """Begin with those of earlier tasks."""
        self._earlier = earlier
        self.count = earlier.count

    def begin(self, scores: Float32[Tensor, " bits"]) -> None:
        scores += torch.from_numpy(self._earlier.total).to(scores.device)
        scores /= self.count + 1

    def end(self, scores: Float32[Tensor, " bits"], masks: Masks) -> None:
        self._earlier = self._earlier.and_those(scores.cpu().numpy())
        self.count += 1


def transfer_of(
    config: TrainConfig, layout: MaskLayout, earlier: Iterable[Masks] | EarlierScores
) -> Transfer | None:
    """The transfer that a configuration names; None where every task starts from the seed.

    Args:
        earlier: of the tasks before, in their order: masks, or for a transfer of scores those.

    Raises:
        InvalidInput: it is the other of the two, or scores of another layout.
    """
    if config.transfer == "none":
        return None
    if config.transfer == "masks":
        if isinstance(earlier, EarlierScores):
            raise InvalidInput("transfer of masks: expected those of earlier tasks, got scores")
        return MeanOfMasks(layout, by_size=RULES[config.rule].by_size, earlier=earlier)
    if not isinstance(earlier, EarlierScores):
        if any(True for _ in earlier):
            raise InvalidInput(
                "transfer of scores: expected the EarlierScores of earlier tasks, got their masks, "
                "which do not tell them"
            )
        earlier = EarlierScores(total=np.zeros(layout.bits, np.float32), count=0)
    if earlier.total.shape != (layout.bits,):
        raise InvalidInput(
            f"transfer of scores: expected {layout.bits} of them, got {earlier.total.size}"
        )
    return MeanOfScores(earlier)
