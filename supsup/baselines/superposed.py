"""What both forms of parameter superposition share: one set of weights under a task's context."""

from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cross_entropy

from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.training import fit
from supsup.evaluation.score import check_outputs
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData

Run = Callable[[Weights, Tensor], Tensor]
"""From weights and images to logits."""


class Superposed(Baseline):
    """Parameter superposition, PSP (Cheung et al., 2019): in task t a layer computes W (C_t x).

    C_t is random and orthogonal, and comes from the seed. What other tasks left in W meets inputs
    that it was not made for, and acts like noise that grows with their number. W is trained on and
    on, under the context of the task at hand.

    There are no heads: the last layer has a context like the others, and the network needs as many
    outputs as the largest task has classes.

    Attributes:
        weights: W, and all other parameters, as the last task left them.
    """

    def __init__(self, backbone: Backbone, config: BaselineConfig) -> None:
        super().__init__(backbone, config)
        self.weights: Weights = dict(backbone.module.named_parameters())
        self._last: tuple[str, Run] | None = None

    def bytes(self) -> int:
        return bytes_of(self.weights) if self.tasks else 0

    @abstractmethod
    def _network(self, task: str) -> Run:
        """The network under the context of a task."""

    def _learn(self, task: TaskData) -> float:
        run = self._under(task.name)

        def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            logits = run(weights, images)
            check_outputs(logits.shape[1], task)
            return cross_entropy(logits, labels)

        device = self.backbone.device
        self.weights, last = fit(task, self.config, self.weights, loss, device=device)
        return last

    def _logits(self, task: str, images: Tensor) -> Tensor:
        return self._under(task)(self.weights, images)

    def _under(self, task: str) -> Run:
        """Contexts of one task are kept: images come a few at a time, all of one task together."""
        if self._last is None or self._last[0] != task:
            self._last = (task, self._network(task))
        return self._last[1]
