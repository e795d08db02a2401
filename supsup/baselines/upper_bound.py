"""Upper bound: a dense network for each task."""

from torch import Tensor

from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.heads import Headed
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


class UpperBound(Baseline):
    """Nothing is shared, so nothing is forgotten, and every task costs a whole network.

    All tasks start from the backbone's weights.

    Attributes:
        trunks, heads: the weights of each task.
    """

    name = "upper-bound"

    def __init__(self, backbone: Backbone, config: BaselineConfig) -> None:
        super().__init__(backbone, config)
        self._net = Headed(backbone)
        self.trunks: dict[str, Weights] = {}
        self.heads: dict[str, Weights] = {}

    def bytes(self) -> int:
        return bytes_of(*self.trunks.values(), *self.heads.values())

    def _learn(self, task: TaskData) -> float:
        trunk, head, loss = self._net.fit_both(task, self.config, self._net.trunk)
        self.trunks[task.name], self.heads[task.name] = trunk, head
        return loss

    def _logits(self, task: str, images: Tensor) -> Tensor:
        return self._net.outputs(images, self.trunks[task], self.heads[task])
