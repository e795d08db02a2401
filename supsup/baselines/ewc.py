"""EWC: the trunk is trained on and on, held back where earlier tasks need it, by the diagonal of
the Fisher information of its weights.
"""

from collections.abc import Callable, Mapping
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev, vmap

from maskstore.numbers import parse_positive, parse_whole
from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.heads import Headed
from supsup.baselines.training import fit, own_batches
from supsup.networks.backbone import Backbone
from supsup.tasks.protocol import TaskData

_NUMBERS = 2**23
"""Numbers of the gradients held at a time (32 MB): what fits the cache is summed quicker."""


def diagonal_fisher(
    outputs: Callable[[Mapping[str, Tensor], Tensor], Tensor],
    weights: Mapping[str, Tensor],
    images: Float[Tensor, "image ..."],
) -> dict[str, Tensor]:
    """Mean over images of Σ_c p(c|x) (∂ log p(c|x) / ∂w)², for each weight w.

    The expectation over labels is the model's own and exact, so labels are neither asked for nor
    drawn: this is not the "empirical" Fisher information of the true labels.

    Args:
        outputs: logits of a batch under weights.
        weights: of which the information is taken.
        images: each is run by itself.
    """

    def log_p(weights: dict[str, Tensor], image: Tensor) -> tuple[Tensor, Tensor]:
        found = outputs(weights, image.unsqueeze(0))[0].log_softmax(0)
        return found, found

    at = {name: w.detach() for name, w in weights.items()}
    with torch.no_grad():
        classes = outputs(at, images[:1]).shape[1]
    each = classes * sum(w.numel() for w in at.values())
    total = {name: torch.zeros_like(w) for name, w in at.items()}
    for part in images.split(max(1, _NUMBERS // each)):
        slopes, found = vmap(jacrev(log_p, has_aux=True), in_dims=(None, 0))(at, part)
        roots = (found / 2).exp().flatten()  # √p
        for name, slope in slopes.items():
            rows = slope.flatten(0, 1)
            rows *= roots.view(-1, *[1] * (rows.ndim - 1))
            total[name] += rows.square_().sum(0)
    return {name: information / len(images) for name, information in total.items()}


class Ewc(Baseline):
    """Elastic weight consolidation (Kirkpatrick et al., 2017), with a head for each task.

    To the loss of a task comes λ/2 Σ_t Σ_w F_t(w) (w - w_t)² over the tasks t before it: F_t is the
    diagonal Fisher information at the weights w_t that task t left, over the trunk. Their sum is
    kept, for any number of tasks, as one such term about the mean of the w_t that the F_t weigh;
    what it lacks is a constant. Heads are fixed when their task is done, and need no such term.

    Networks with batch statistics cannot be used: the information asks for each image by itself.

    Attributes:
        trunk: its weights as the last task left them.
        heads: the weights of each task's head.
        information, anchor: Σ_t F_t, and the mean of the w_t.
    """

    name = "ewc"

    def __init__(
        self,
        backbone: Backbone,
        config: BaselineConfig,
        *,
        strength: float = 1.0,
        fisher_images: int = 100,
    ) -> None:
        """A baseline that has learnt nothing.

        Args:
            strength: λ; 1 is the best measured on PermutedMNIST, by SGD at 0.01.
            fisher_images: training images of each task that its information is the mean of.

        Raises:
            InvalidInput: one of them cannot be used.
        """
        super().__init__(backbone, config)
        strength = parse_positive("strength", strength)
        self.strength = strength
        self.fisher_images = parse_whole("fisher_images", fisher_images, expected="a number from 1")
        self._net = Headed(backbone)
        self.trunk: Weights = self._net.trunk
        self.heads: dict[str, Weights] = {}
        self.information: Weights = {n: torch.zeros_like(w) for n, w in self.trunk.items()}
        self.anchor: Weights = self.trunk

    def bytes(self) -> int:
        if not self.heads:
            return 0
        return bytes_of(self.trunk, self.information, self.anchor, *self.heads.values())

    def penalty(self, trunk: Weights) -> Tensor:
        """What a trunk costs for departing from those of the tasks learnt so far, up to a constant.

        Args:
            trunk: tensors of the trunk's names; others are left out.
        """
        terms = [
            (self.information[name] * (trunk[name] - anchor).square()).sum()
            for name, anchor in self.anchor.items()
        ]
        return self.strength / 2 * torch.stack(terms).sum()

    def _learn(self, task: TaskData) -> float:
        def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            found = self._net.loss(weights, images, labels)
            return found + self.penalty(weights) if self.heads else found

        images = self._fisher_sample(task)
        self._net.check_alone(self.name, images[:1])  # not found out after training
        head = self._net.new_head(task.name, task.classes, self.config.seed)
        start = {**self.trunk, **head}
        weights, last = fit(task, self.config, start, loss, device=self.backbone.device)
        trunk, head = self._net.split(weights)
        new = diagonal_fisher(lambda w, x: self._net.outputs(x, w, head), trunk, images)
        self._consolidate(trunk, new)
        self.trunk, self.heads[task.name] = trunk, head
        return last

    def _logits(self, task: str, images: Tensor) -> Tensor:
        return self._net.outputs(images, self.trunk, self.heads[task])

    def _fisher_sample(self, task: TaskData) -> Tensor:
        """Training images in the seeded order, in batches as a loader of one size gives them."""
        wanted = min(self.fisher_images, task.train_size)
        count = -(-wanted // self.config.batch)
        parts = [x for x, _ in islice(own_batches(task, self.config), count)]
        return torch.cat(parts)[:wanted].to(self.backbone.device)

    def _consolidate(self, trunk: Weights, new: Weights) -> None:
        """Add F (w - w_t)² to the term that is kept: the F add up, the anchor moves by the new."""
        information, anchor = {}, {}
        for name, old in self.information.items():
            information[name] = old + new[name]
            share = torch.where(information[name] > 0, new[name] / information[name], 1.0)
            anchor[name] = self.anchor[name].lerp(trunk[name], share)
        self.information, self.anchor = information, anchor
