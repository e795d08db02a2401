"""Lower bound: one trunk trained on and on, with a head for each task."""

from torch import Tensor

from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.heads import Headed
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


class LowerBound(Baseline):
    """Each task moves the trunk under the heads of those before it.

    Attributes:
        trunk: its weights as the last task left them.
        heads: the weights of each task's head.
    """

    name = "lower-bound"

    def __init__(self, backbone: Backbone, config: BaselineConfig) -> None:
        super().__init__(backbone, config)
        self._net = Headed(backbone)
        self.trunk: Weights = self._net.trunk
        self.heads: dict[str, Weights] = {}

    def bytes(self) -> int:
        return bytes_of(self.trunk, *self.heads.values()) if self.heads else 0

    def _learn(self, task: TaskData) -> float:
        trunk, head, loss = self._net.fit_both(task, self.config, self.trunk)
        self.trunk, self.heads[task.name] = trunk, head
        return loss

    def _logits(self, task: str, images: Tensor) -> Tensor:
        return self._net.outputs(images, self.trunk, self.heads[task])
