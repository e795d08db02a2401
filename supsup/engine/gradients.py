"""The family of ways to get the gradients of several tasks in one step."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int64
from torch import Tensor


class Gradients(ABC):
    """Runs the network of every row of some buffers on the row's own images."""

    @abstractmethod
    def losses(
        self, x: Float[Tensor, "task batch ..."], y: Int64[Tensor, "task batch"]
    ) -> Float[Tensor, " task"]:
        """The mean cross-entropy of each task; its gradient goes to the buffers.

        It is over all outputs, not only the task's classes: that pushes superfluous ones down.
        """
