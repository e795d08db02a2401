"""Replay: training goes on, half of each batch being stored images of the tasks before."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from maskstore.numbers import parse_whole
from maskstore.seeded.streams import permutation
from supsup.baselines.base import Baseline, BaselineConfig, Weights, bytes_of
from supsup.baselines.exemplars import images_a_class, indices_of_classes, numbered, shortened
from supsup.baselines.heads import Headed
from supsup.baselines.training import Labelled, fit, own_batches
from supsup.networks.backbone import Backbone
from supsup.tasks.checked import train_images
from supsup.tasks.order import batches
from supsup.tasks.protocol import TaskData


class Replay(Baseline):
    """Experience replay (Chaudhry et al., 2019, "On tiny episodic memories in continual learning").

    From the second task on, as many stored images as new ones are in every step, drawn evenly from
    all that are stored. All together stay within ``memory``: every class keeps as many images,
    chosen at random, and gives up the last of them when classes are added.

    Every class of every task has an output. With ``joint`` an image is judged among the classes of
    all tasks, which makes one classifier over them (class-incremental learning, by ``logits``);
    otherwise among those of its task, which answers better where the task is given.

    Images are kept as the network sees them, in float32. A :class:`supsup.LoaderTask`, whose loader
    chooses the images, cannot be learnt.

    Attributes:
        trunk, head: their weights as the last task left them; the head has a row for every class.
        exemplars: of each task, the stored images of each class.
    """

    name = "replay"

    def __init__(
        self,
        backbone: Backbone,
        config: BaselineConfig,
        *,
        memory: int = 2000,
        joint: bool = False,
    ) -> None:
        """A baseline that has learnt nothing.

        Args:
            memory: stored images in all.
            joint: whether the classes of all tasks compete in training.

        Raises:
            InvalidInput: ``memory`` cannot be used.
        """
        super().__init__(backbone, config)
        self.memory = parse_whole("memory", memory, expected="a whole number of images from 1")
        self.joint = bool(joint)
        self._net = Headed(backbone)
        self.trunk: Weights = self._net.trunk
        self.head: Weights = self._net.new_head("none", 0, config.seed)
        self.exemplars: dict[str, list[Tensor]] = {}

    def bytes(self) -> int:
        if not self.exemplars:
            return 0
        return bytes_of(self.trunk, self.head, *self.exemplars.values())

    def _learn(self, task: TaskData) -> float:
        counts = [len(classes) for classes in self.exemplars.values()]
        each = images_a_class(self.name, task, self.memory, sum(counts))
        device = self.backbone.device
        numbers = torch.tensor([*counts, task.classes], dtype=torch.int64, device=device)
        task_of = torch.arange(len(numbers), dtype=torch.int64, device=device)
        task_of = task_of.repeat_interleave(numbers)

        def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            logits = self._net.outputs(images, *self._net.split(weights))
            if not self.joint:
                other = task_of != task_of[labels, None]
                logits = logits.masked_fill(other, -torch.inf)
            return cross_entropy(logits, labels)

        chosen = [
            train_images(task, indices[_first(task, label, len(indices), each, self.config.seed)])
            for label, indices in enumerate(indices_of_classes(task))
        ]
        new = self._net.new_head(task.name, task.classes, self.config.seed)
        head = {name: torch.cat([self.head[name], rows]) for name, rows in new.items()}
        source = self._with_replayed(task, sum(counts))
        start = {**self.trunk, **head}
        weights, last = fit(task, self.config, start, loss, device=device, source=source)
        self.trunk, self.head = self._net.split(weights)
        self.exemplars = shortened(self.exemplars, each)
        self.exemplars[task.name] = [images.to(device) for images, _ in chosen]
        return last

    def _logits(self, task: str, images: Tensor) -> Tensor:
        before = 0
        for name, classes in self.exemplars.items():
            if name == task:
                break
            before += len(classes)
        head = {n: rows[before : before + self.classes(task)] for n, rows in self.head.items()}
        return self._net.outputs(images, self.trunk, head)

    def _with_replayed(self, task: TaskData, earlier: int) -> Iterator[Labelled]:
        """A task's batches, each with as many stored images; labels number all classes."""
        device = self.backbone.device
        stored = numbered(self.exemplars, device)
        own = ((x.to(device), y.to(device) + earlier) for x, y in own_batches(task, self.config))
        if stored is None:
            yield from own
            return
        images, labels = stored
        draws = batches(
            self.config.seed, f"{task.name}/replay", len(labels), self.config.batch, device
        )
        for (x, y), old in zip(own, draws, strict=True):
            yield torch.cat([x, images[old]]), torch.cat([y, labels[old]])


def _first(task: TaskData, label: int, count: int, each: int, seed: int) -> Tensor:
    """The first of a seeded order of a class's images."""
    order = permutation(seed, f"replay/{task.name}/{label}", count)
    return torch.from_numpy(order[:each]).to(task.device)
