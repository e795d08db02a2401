"""Separate heads over a random trunk: every task trains a head and nothing else."""

from torch import Tensor

from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.heads import Headed
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


class SeparateHeadsRandom(Baseline):
    """The trunk keeps its seeded weights and costs nothing (SupSup paper, "Rand W").

    Attributes:
        heads: the weights of each task's head.
    """

    name = "separate-heads-random"

    def __init__(self, backbone: Backbone, config: BaselineConfig) -> None:
        super().__init__(backbone, config)
        self._net = Headed(backbone)
        self.heads: dict[str, Weights] = {}

    def bytes(self) -> int:
        return bytes_of(*self.heads.values())

    def _learn(self, task: TaskData) -> float:
        self.heads[task.name], loss = self._net.fit_head(task, self.config, self._net.trunk)
        return loss

    def _logits(self, task: str, images: Tensor) -> Tensor:
        return self._net.outputs(images, self._net.trunk, self.heads[task])
