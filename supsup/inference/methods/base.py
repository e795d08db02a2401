"""The family of inference methods."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from supsup.inference.query import Query


class Method(ABC):
    """Weighs the masks of a bank against data.

    Attributes:
        name: what the command line and reports call it.
    """

    name: ClassVar[str]

    @abstractmethod
    def evidence(self, query: Query) -> Float64[np.ndarray, "group task"]:
        """How much speaks for each mask: the highest is the answer, of equal ones the first.

        Returns:
            In the method's own unit; -inf for masks that were ruled out before.

        Raises:
            InvalidInput: the network, the data and the objective do not go together.
        """
