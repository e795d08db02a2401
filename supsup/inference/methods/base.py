"""The family of inference methods."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from supsup.inference.bank import MaskBank
from supsup.inference.objectives import Objective


class Method(ABC):
    """Weighs the masks of a bank against data.

    Attributes:
        name: what the command line and reports call it.
    """

    name: ClassVar[str]

    @abstractmethod
    def evidence(
        self,
        bank: MaskBank,
        x: Float[Tensor, "batch ..."],
        objective: Objective,
        *,
        per_image: bool,
    ) -> Float64[np.ndarray, "group task"]:
        """How much speaks for each mask: the highest is the answer, of equal ones the first.

        Args:
            per_image: whether each image is a group of its own; else the batch is the one group.

        Returns:
            In the method's own unit; -inf for masks that were ruled out before.

        Raises:
            InvalidInput: the network, the data and the objective do not go together.
        """
