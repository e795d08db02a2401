"""iCaRL: a few stored images of every class (herding), distillation, and the nearest class mean."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize, one_hot

from maskstore.numbers import parse_whole
from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.exemplars import (
    AT_A_TIME,
    images_a_class,
    indices_of_classes,
    numbered,
    shortened,
)
from supsup.baselines.heads import Headed
from supsup.baselines.training import Labelled, fit
from supsup.networks.backbone import Backbone
from supsup.tasks.checked import train_images
from supsup.tasks.order import batches
from supsup.tasks.protocol import TaskData


class Icarl(Baseline):
    """Incremental classifier and representation learning (Rebuffi et al., 2017).

    Every class of every task has a sigmoid output. A task is trained on its images and on all
    exemplars together: outputs of its classes towards the labels, those of earlier classes towards
    what the network answered before the task. Then each of its classes keeps the exemplars that
    herding chooses, and the others give up their last ones, so that all together stay within
    ``memory``. An image belongs to the class whose exemplars' mean feature is
    nearest; features have length 1. Where the task is given its classes compete alone, otherwise
    those of all tasks, as in its paper.

    Exemplars are kept as the network sees them, in float32. A :class:`supsup.LoaderTask`, whose
    loader chooses the images, cannot be learnt. Networks with batch statistics cannot be used: a
    class mean would be one under the statistics of that class alone.

    Attributes:
        trunk, head: their weights as the last task left them; the head has a row for every class.
        exemplars: of each task, the images of each class, in the order of choice.
    """

    name = "icarl"
    methods = ("logits",)  # distances to means, which are no probabilities

    def __init__(self, backbone: Backbone, config: BaselineConfig, *, memory: int = 2000) -> None:
        """A baseline that has learnt nothing.

        Args:
            memory: exemplars in all, K.

        Raises:
            InvalidInput: ``memory`` cannot be used.
        """
        super().__init__(backbone, config)
        self.memory = parse_whole("memory", memory, expected="a whole number of images from 1")
        self._net = Headed(backbone)
        self.trunk: Weights = self._net.trunk
        self.head: Weights = self._net.new_head("none", 0, config.seed)
        self.exemplars: dict[str, list[Tensor]] = {}
        # Of each task asked for since the last one was learnt: they move with the trunk.
        self._means: dict[str, Tensor] = {}

    def bytes(self) -> int:
        if not self.exemplars:
            return 0
        return bytes_of(self.trunk, self.head, *self.exemplars.values())

    def _learn(self, task: TaskData) -> float:
        earlier = sum(len(classes) for classes in self.exemplars.values())
        each = images_a_class(self.name, task, self.memory, earlier)
        one, _ = train_images(task, torch.zeros(1, dtype=torch.int64, device=task.device))
        self._net.check_alone(self.name, one.to(self.backbone.device))
        before = self.trunk, self.head

        def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            logits = self._net.outputs(images, *self._net.split(weights))
            targets = one_hot(labels, logits.shape[1]).float()
            if earlier:
                with torch.no_grad():
                    targets[:, :earlier] = self._net.outputs(images, *before).sigmoid()
            # Summed over outputs, as the paper writes it, and the mean over images.
            return binary_cross_entropy_with_logits(logits, targets) * logits.shape[1]

        new = self._net.new_head(task.name, task.classes, self.config.seed)
        head = {name: torch.cat([self.head[name], rows]) for name, rows in new.items()}
        source = self._with_exemplars(task, earlier)
        device = self.backbone.device
        start = {**self.trunk, **head}
        weights, last = fit(task, self.config, start, loss, device=device, source=source)
        trunk, head = self._net.split(weights)
        exemplars = shortened(self.exemplars, each)
        exemplars[task.name] = self._choose(task, trunk, each)
        self.trunk, self.head, self.exemplars = trunk, head, exemplars
        self._means.clear()
        return last

    def _logits(self, task: str, images: Tensor) -> Tensor:
        if task not in self._means:
            means = [class_mean(self._features(few, self.trunk)) for few in self.exemplars[task]]
            self._means[task] = torch.stack(means)
        distances = torch.cdist(self._features(images, self.trunk), self._means[task])
        return -distances.square()

    def _features(self, images: Tensor, trunk: Weights) -> Float[Tensor, "image width"]:
        return normalize(self._net.features(images, trunk))

    def _with_exemplars(self, task: TaskData, earlier: int) -> Iterator[Labelled]:
        """Batches of a task's images and all exemplars, mixed; labels number all classes."""
        kept = numbered(self.exemplars, self.backbone.device)
        device = self.backbone.device
        size = task.train_size + (len(kept[1]) if kept else 0)
        for indices in batches(self.config.seed, task.name, size, self.config.batch, task.device):
            own = indices[indices < task.train_size]
            old = (indices[indices >= task.train_size] - task.train_size).to(device)
            parts = []
            if len(own):
                x, y = train_images(task, own)
                parts.append((x.to(device), y.to(device) + earlier))
            if kept is not None:
                parts.append((kept[0][old], kept[1][old]))
            yield torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])

    def _choose(self, task: TaskData, trunk: Weights, each: int) -> list[Tensor]:
        """The exemplars of each class of a task."""
        chosen = []
        for of_class in indices_of_classes(task):
            with torch.no_grad():
                features = torch.cat(
                    [
                        self._features(train_images(task, part)[0].to(self.backbone.device), trunk)
                        for part in of_class.split(AT_A_TIME)
                    ]
                )
            best = of_class[herd(features, each).to(task.device)]
            chosen.append(train_images(task, best)[0].to(self.backbone.device))
        return chosen


def herd(features: Float[Tensor, "image width"], count: int) -> Int64[Tensor, " chosen"]:
    """Indices of chosen images, in the order of choice (Rebuffi et al., 2017).

    Choice k is the image, of those not yet chosen, that brings the mean of the k chosen features
    closest to the mean of all. So the first few of the chosen are what fewer would be.

    Args:
        features: of length 1; their mean is scaled to length 1, too.
        count: how many; at most as many as there are.
    """
    goal = class_mean(features)
    lengths = features.square().sum(1)
    left = torch.zeros(len(features), dtype=torch.float32, device=features.device)
    total = torch.zeros_like(goal)
    chosen = []
    for k in range(1, min(count, len(features)) + 1):
        # |goal - (total + f) / k|² ordered like |f|² - 2 f · (k goal - total).
        distance = lengths - 2 * (features @ (k * goal - total)) + left
        best = distance.argmin()
        left[best] = torch.inf
        total += features[best]
        chosen.append(best)
    return torch.stack(chosen)


def class_mean(features: Float[Tensor, "image width"]) -> Float[Tensor, " width"]:
    """The mean of features, scaled to length 1."""
    return normalize(features.mean(0), dim=0)
