"""WSN: winning subnetworks, learned weights that a task's mask chooses and then freezes."""

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from maskstore.codecs.ans import AnsCodec
from maskstore.codecs.knowledge import Prior
from maskstore.layout import MaskLayout
from maskstore.numbers import parse_share
from maskstore.seeded.scores import ScoreStart
from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.heads import Headed
from supsup.baselines.training import fit
from supsup.masking.budgets import budget
from supsup.masking.topk import TopK
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


class Wsn(Baseline):
    """Winning subnetworks (Kang et al., 2022, "Forget-free continual learning").

    Every weight has a score; a task computes with the weights of the ``density`` largest scores of
    each layer. Scores and weights are trained together, but weights that an earlier task's mask
    covers stay as they are: later masks may take them up, so that nothing is forgotten and much is
    shared. Scores go on from task to task.

    What has one axis, such as a bias, is trained with the first task and fixed; every task has a
    head.

    Attributes:
        trunk: all weights as the last task left them.
        scores: as the last task left them, by the names of the trunk's matrices and kernels.
        masks: of each task, coded, a bit a weight in; :meth:`mask` gives it back.
        used: where the weights are that some task's mask covers.
        heads: the weights of each task's head.
    """

    name = "wsn"

    def __init__(
        self,
        backbone: Backbone,
        config: BaselineConfig,
        *,
        density: float = 0.3,
        carry_scores: bool = True,
    ) -> None:
        """A baseline that has learnt nothing.

        Args:
            config: its optimizer and ``lr`` are those of weights and scores.
            density: share of each layer's weights in a mask, c.
            carry_scores: False starts every task from the seed's scores, which then need not be
                kept.

        Raises:
            InvalidInput: ``density`` cannot be used.
        """
        super().__init__(backbone, config)
        self.density = parse_share("density", density)
        self.carry_scores = bool(carry_scores)
        self._net = Headed(backbone)
        self.trunk: Weights = self._net.trunk
        shapes = {name: tuple(w.shape) for name, w in self.trunk.items() if w.ndim >= 2}
        self._layout = MaskLayout(shapes)
        self._prior = Prior(layout=self._layout)
        self._rule = TopK(budget(self._layout, self.density))
        drawn = ScoreStart(seed=config.seed, stream="wsn").draw(self._layout)
        device = backbone.device
        self.scores: Weights = {n: torch.from_numpy(s).to(device) for n, s in drawn.items()}
        self.used: dict[str, Bool[Tensor, ...]] = {
            name: torch.zeros(shape, dtype=torch.bool, device=device)
            for name, shape in shapes.items()
        }
        self.masks: dict[str, bytes] = {}
        self.heads: dict[str, Weights] = {}

    def bytes(self) -> int:
        """As the interface says; masks as they are coded, each bit at its layer's entropy."""
        if not self.heads:
            return 0
        masks = sum(map(len, self.masks.values()))
        scores = bytes_of(self.scores) if self.carry_scores else 0
        return bytes_of(self.trunk, *self.heads.values()) + scores + masks

    def mask(self, task: str) -> dict[str, Bool[Tensor, "..."]]:
        """The mask of a learnt task, by the names of the trunk's matrices and kernels."""
        self.classes(task)
        packed = AnsCodec().decode(self.masks[task], self._prior)
        masks = self._layout.unpack(packed)
        return {n: torch.from_numpy(m).to(self.backbone.device) for n, m in masks.items()}

    def _learn(self, task: TaskData) -> float:
        fixed = self._one_axis() if self.heads else {}

        def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            layers = {
                name: torch.where(used, self.trunk[name], weights[name])
                * self._rule.relax(name, weights[_SCORES + name])
                for name, used in self.used.items()
            }
            others = {n: w for n, w in weights.items() if not n.startswith(_SCORES)}
            return self._net.loss({**others, **fixed, **layers}, images, labels)

        start = {name: w for name, w in self.trunk.items() if name not in fixed}
        start |= {_SCORES + name: scores for name, scores in self.scores.items()}
        start |= self._net.new_head(task.name, task.classes, self.config.seed)
        weights, last = fit(task, self.config, start, loss, device=self.backbone.device)
        scores = {name: weights.pop(_SCORES + name) for name in self.used}
        masks = self._rule.masks(scores)
        trunk, head = self._net.split({**weights, **fixed})
        for name, used in self.used.items():
            trunk[name] = torch.where(used, self.trunk[name], trunk[name])
        self.masks[task.name] = _coded(self._layout.pack(masks), self._prior)
        self.used = {
            name: used | torch.from_numpy(masks[name]).to(used.device)
            for name, used in self.used.items()
        }
        self.trunk, self.heads[task.name] = trunk, head
        if self.carry_scores:
            self.scores = scores
        return last

    def _logits(self, task: str, images: Tensor) -> Tensor:
        own = {name: self.trunk[name] * mask for name, mask in self.mask(task).items()}
        return self._net.outputs(images, {**self.trunk, **own}, self.heads[task])

    def _one_axis(self) -> Weights:
        return {name: w for name, w in self.trunk.items() if name not in self.used}


def _coded(packed: UInt8[np.ndarray, " packed"], prior: Prior) -> bytes:
    """A mask's bytes, each bit at the entropy of its layer."""
    stored = AnsCodec().encode(packed, prior)
    assert stored is not None  # it refuses masks of millions of weights that are all alike
    return stored


_SCORES = "scores/"
"""Before the name of a layer, in training: no parameter's name has a slash."""
