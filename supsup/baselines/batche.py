"""BatchE: the first task trains shared weights, later ones a rank-one factor of each layer."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from maskstore.numbers import parse_positive
from maskstore.seeded import streams as seeded
from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of, sum_of
from supsup.baselines.training import fit
from supsup.evaluation.score import check_outputs
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


class BatchE(Baseline):
    """Task t computes with W ⊙ s rᵀ in every layer (Wen et al., 2020).

    W is trained on the first task together with that task's r and s; later tasks train only their
    own r (one number an input, or input channel) and s (one an output). Both start from random
    signs. What is no matrix or kernel, such as a bias, is each task's own.

    As in the paper's code there are no heads: the last layer has its r and s like the others, and
    the network needs as many outputs as the largest task has classes.

    Attributes:
        shared: W of each layer.
        own: of each task, r and s as ``LAYER/r`` and ``LAYER/s``, and what is no matrix.
    """

    name = "batche"
    methods = ("exhaustive", "logits", "one-shot")

    def __init__(
        self, backbone: Backbone, config: BaselineConfig, *, vector_lr: float = 1e-2
    ) -> None:
        """A baseline that has learnt nothing.

        Args:
            config: its ``lr`` is that of the first task.
            vector_lr: learning rate of the later ones; the paper's code has 1e-2 after 1e-4.

        Raises:
            InvalidInput: ``vector_lr`` is not a positive number.
        """
        super().__init__(backbone, config)
        vector_lr = parse_positive("vector_lr", vector_lr)
        self.vector_lr = vector_lr
        parameters = dict(backbone.module.named_parameters())
        self.shared: Weights = {name: w for name, w in parameters.items() if w.ndim >= 2}
        self._plain: Weights = {name: w for name, w in parameters.items() if w.ndim < 2}
        self.own: dict[str, Weights] = {}

    def bytes(self) -> int:
        return bytes_of(self.shared, *self.own.values()) if self.own else 0

    def _learn(self, task: TaskData) -> float:
        def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            logits = self.backbone.run(images, self._effective({**self.shared, **weights}))
            check_outputs(logits.shape[1], task)
            return cross_entropy(logits, labels)

        device = self.backbone.device
        own = self._new_own(task.name)
        if self.own:
            own, last = fit(task, self.config, own, loss, device=device, lr=self.vector_lr)
        else:
            start = {**self.shared, **own}
            weights, last = fit(task, self.config, start, loss, device=device)
            self.shared = {name: weights[name] for name in self.shared}
            own = {name: weights[name] for name in own}
        self.own[task.name] = own
        return last

    def _logits(self, task: str, images: Tensor) -> Tensor:
        weights = self._effective({**self.shared, **self.own[task]})
        return self.backbone.run(images, weights)

    def _new_own(self, task: str) -> dict[str, Tensor]:
        """Where a task's own tensors start."""
        own = dict(self._plain)
        for name, weight in self.shared.items():
            for vector, size in (("r", weight.shape[1]), ("s", weight.shape[0])):
                purpose = f"batche/{task}/{name}/{vector}"
                signs = seeded.signs(self.config.seed, purpose, (size,))
                own[f"{name}/{vector}"] = torch.from_numpy(signs).to(self.backbone.device)
        return own

    def superposed(self, shares: Tensor, images: Tensor) -> Tensor:
        own = list(self.own.values())
        weights = {name: sum_of(shares, [each[name] for each in own]) for name in self._plain}
        for name, weight in self.shared.items():
            # Of the rank-one factors, not of their vectors: as the paper's code stacks them.
            s, r = (torch.stack([each[f"{name}/{v}"] for each in own]) for v in "sr")
            weights[name] = _times(weight, torch.einsum("t,to,ti->oi", shares, s, r))
        return self.backbone.run(images, weights)

    def _effective(self, weights: Weights) -> dict[str, Tensor]:
        """The network's parameters for one task, of the shared and its own."""
        effective = {name: weights[name] for name in self._plain}
        for name in self.shared:
            r, s = weights[f"{name}/r"], weights[f"{name}/s"]
            effective[name] = _times(weights[name], torch.outer(s, r))
        return effective


def _times(weight: Tensor, factor: Tensor) -> Tensor:
    """A layer's weights times one number for each pair of an output and an input channel."""
    return weight * factor.view(*factor.shape, *[1] * (weight.ndim - 2))
