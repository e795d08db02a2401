"""PackNet: each task trains the weights that are free, keeps the largest, and freezes them."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Int16
from torch import Tensor

from maskstore.numbers import parse_share
from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.heads import Headed
from supsup.baselines.training import fit, own_batches
from supsup.masking.topk import largest
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData


class PackNet(Baseline):
    """Packing by pruning (Mallya and Lazebnik, 2018).

    A task trains the weights that no task owns, beside those of all tasks before it, which stay as
    they are. Then it prunes: of each layer the largest are its own from now on, the others go back
    to 0 and are free. What it kept is trained again, without the pruned ones. It answers with the
    weights of its own and of the tasks before it.

    What has one axis, such as a bias, is trained with the first task and fixed, as in the paper;
    every task has a head.

    Attributes:
        trunk: all weights; free ones are 0 once a task is learnt.
        owner: of each weight the number of its task, from 1; 0 where it is free.
        heads: the weights of each task's head.
    """

    name = "packnet"

    def __init__(
        self,
        backbone: Backbone,
        config: BaselineConfig,
        *,
        share: float = 0.2,
        retrain: float = 0.5,
    ) -> None:
        """A baseline that has learnt nothing.

        Args:
            share: of each layer's weights that a task takes, the free ones if they are fewer;
                after 1 / share tasks only heads are left to train. The paper takes half or a
                quarter of what is free, so that later tasks get less and less.
            retrain: share of a task's steps that come after the pruning, below 1.

        Raises:
            InvalidInput: one of them cannot be used.
        """
        super().__init__(backbone, config)
        self.share = parse_share("share", share)
        self.retrain = parse_share("retrain", retrain)
        self._net = Headed(backbone)
        self.trunk: Weights = self._net.trunk
        self.owner: dict[str, Int16[Tensor, ...]] = {
            name: torch.zeros_like(w, dtype=torch.int16)
            for name, w in self.trunk.items()
            if w.ndim >= 2
        }
        self.heads: dict[str, Weights] = {}

    def bytes(self) -> int:
        """As the interface says; the owners at the fewest bits that hold their numbers."""
        if not self.heads:
            return 0
        bits = len(self.heads).bit_length() * sum(map(torch.numel, self.owner.values()))
        return bytes_of(self.trunk, *self.heads.values()) + -(-bits // 8)

    def _learn(self, task: TaskData) -> float:
        free = {name: owner == 0 for name, owner in self.owner.items()}
        head = self._net.new_head(task.name, task.classes, self.config.seed)
        fixed = {} if not self.heads else self._one_axis()
        source = own_batches(task, self.config)

        def train(
            start: Weights, trained: Mapping[str, Tensor], steps: int
        ) -> tuple[dict[str, Tensor], float]:
            def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
                own = {n: torch.where(at, weights[n], start[n]) for n, at in trained.items()}
                return self._net.loss({**weights, **own, **fixed}, images, labels)

            going = {name: w for name, w in start.items() if name not in fixed}
            config = replace(self.config, steps=steps, epochs=None)
            device = self.backbone.device
            found, last = fit(task, config, going, loss, device=device, source=source)
            kept = {n: torch.where(at, found[n], start[n]) for n, at in trained.items()}
            return {**start, **found, **kept}, last

        before, after = self._steps(task)
        weights, _ = train({**self.trunk, **head}, free, before)
        own = {name: self._largest(weights[name], at) for name, at in free.items()}
        pruned = {n: weights[n].masked_fill(at & ~own[n], 0.0) for n, at in free.items()}
        weights, last = train({**weights, **pruned}, own, after)
        self.trunk, self.heads[task.name] = self._net.split(weights)
        number = len(self.heads)
        self.owner = {n: owner.masked_fill(own[n], number) for n, owner in self.owner.items()}
        return last

    def _steps(self, task: TaskData) -> tuple[int, int]:
        """Steps before and after the pruning, at least one each."""
        steps = self.config.steps_for(task.train_size)
        after = max(1, round(self.retrain * steps))
        return max(1, steps - after), after

    def _largest(self, weight: Tensor, free: Tensor) -> Tensor:
        """Where the weights are that the task keeps, of one layer."""
        count = min(max(1, round(self.share * weight.numel())), int(free.sum()))
        if not count:
            return torch.zeros_like(free)
        return largest(weight.abs().masked_fill(~free, -1.0), count)

    def _one_axis(self) -> Weights:
        return {name: w for name, w in self.trunk.items() if name not in self.owner}

    def _logits(self, task: str, images: Tensor) -> Tensor:
        number = list(self.heads).index(task) + 1
        own = {
            name: self.trunk[name].masked_fill((owner == 0) | (owner > number), 0.0)
            for name, owner in self.owner.items()
        }
        return self._net.outputs(images, {**self.trunk, **own}, self.heads[task])
