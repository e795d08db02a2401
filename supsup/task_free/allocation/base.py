"""The family of allocation rules."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from supsup.inference import MaskBank
from supsup.networks.backbone import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule says of a batch.

    Attributes:
        mask: index of the mask that suits it best.
        known: whether it is that mask's; otherwise it belongs to none.
    """

    mask: int
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation(ABC):
    """Decides between the masks that are there and a new one.

    Attributes:
        name: what the command line and reports call it.
        confirm: batches in a row that must agree on a change, unless the learner is told otherwise.
    """

    name: ClassVar[str]
    confirm: ClassVar[int]

    @property
    def least(self) -> int:
        """Fewest masks that are weighed: where the learner has fewer, masks that have not begun to
        learn are put behind them."""
        return 1

    def begin(self, backbone: Backbone, classes: int) -> None:  # noqa: B027 most keep nothing
        """A learner of that network and number of classes begins with this rule."""

    def learnt(  # noqa: B027
        self, mask: int, x: Float[Tensor, "batch ..."], y: Int64[Tensor, " batch"]
    ) -> None:
        """A mask has learnt from a batch."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What the rule knows of the batches so far, so that learning can go on from it."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:  # noqa: B027
        """The inverse of :meth:`arrays`, of a rule that a learner has begun with.

        Raises:
            InvalidInput: they are of something else.
        """

    @abstractmethod
    def judge(
        self,
        bank: MaskBank,
        levels: Float64[np.ndarray, " task"],
        x: Float[Tensor, "batch ..."],
        y: Int64[Tensor, " batch"],
    ) -> Verdict:
        """Whose the batch is.

        Args:
            bank: :attr:`least` masks or more; ``bank.classes`` is the number of classes.
            levels: running mean of each mask's loss on the batches that it was trained on; at least
                one. Masks of the bank behind these have not begun to learn.

        Returns:
            A mask that has a level.
        """

    @abstractmethod
    def doubts(self, loss: float, level: float, classes: int) -> bool:
        """Whether a batch of that loss under the mask in training, of that level, calls for a
        decision at once."""

    @abstractmethod
    def ripe(self, level: float, classes: int) -> bool:
        """Whether a mask of that level has learnt enough for a new one to be made beside it."""
