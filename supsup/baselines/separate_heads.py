"""Separate heads: the trunk learns the first task and stays, later tasks train a head each."""

from torch import Tensor

from maskstore.numbers import parse_positive
from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.heads import Headed
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


class SeparateHeads(Baseline):
    """Nothing is forgotten; later tasks make do with the first one's features.

    Attributes:
        trunk: its weights, after the first task for good.
        heads: the weights of each task's head.
    """

    name = "separate-heads"

    def __init__(
        self, backbone: Backbone, config: BaselineConfig, *, head_lr: float = 1e-2
    ) -> None:
        """A baseline that has learnt nothing.

        Args:
            config: its ``lr`` is that of the first task.
            head_lr: learning rate of the later ones; the paper's code has 1e-2 after 1e-3.

        Raises:
            InvalidInput: ``head_lr`` is not a positive number.
        """
        super().__init__(backbone, config)
        head_lr = parse_positive("head_lr", head_lr)
        self.head_lr = head_lr
        self._net = Headed(backbone)
        self.trunk: Weights = self._net.trunk
        self.heads: dict[str, Weights] = {}

    def bytes(self) -> int:
        return bytes_of(self.trunk, *self.heads.values()) if self.heads else 0

    def _learn(self, task: TaskData) -> float:
        if self.heads:
            head, loss = self._net.fit_head(task, self.config, self.trunk, self.head_lr)
        else:
            self.trunk, head, loss = self._net.fit_both(task, self.config, self.trunk)
        self.heads[task.name] = head
        return loss

    def _logits(self, task: str, images: Tensor) -> Tensor:
        return self._net.outputs(images, self.trunk, self.heads[task])
