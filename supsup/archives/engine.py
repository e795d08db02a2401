"""Where the tasks of an archive are trained: in this process, or wherever else an engine says."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from maskstore import MaskArchive, StoredTask
from supsup.archives.network import parse_device
from supsup.archives.training import iter_train_into
from supsup.datasets import ImageSet, load
from supsup.networks.backbone import Backbone
from supsup.tasks import TaskRecipe, make_task
from supsup.training.config import TrainConfig

TrainInto: TypeAlias = Callable[..., Iterator[StoredTask]]
"""Called as :func:`iter_train_into`, with recipes for tasks."""


class Engine(ABC):
    """Who trains the tasks of an archive."""

    @property
    @abstractmethod
    def place(self) -> torch.device:
        """Where the backbone must be in this process."""

    @abstractmethod
    def begin(self, recipes: Sequence[TaskRecipe]) -> AbstractContextManager[TrainInto]:
        """What trains those tasks, once all that it needs is at hand.

        Raises:
            InvalidInput: their data set is not, or no machine.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEngine(Engine):
    """This process.

    Attributes:
        device: such as ``cpu`` or ``cuda:1``.
        dataset_of: gives a data set by its name; see :func:`supsup.datasets.load`.

    Raises:
        InvalidInput: there is no such device here.
    """

    device: str | torch.device = "cpu"
    dataset_of: Callable[[str], ImageSet] = load

    def __post_init__(self) -> None:
        parse_device(str(self.device))

    @property
    def place(self) -> torch.device:
        return torch.device(self.device)

    @contextmanager
    def begin(self, recipes: Sequence[TaskRecipe]) -> Iterator[TrainInto]:
        images = self.dataset_of(recipes[0].dataset).to(self.place)

        def train_here(
            archive: MaskArchive,
            backbone: Backbone,
            recipes: Sequence[TaskRecipe],
            config: TrainConfig,
            **how: Any,
        ) -> Iterator[StoredTask]:
            tasks = (make_task(recipe, images) for recipe in recipes)
            return iter_train_into(archive, backbone, tasks, config, **how)

        yield train_here
