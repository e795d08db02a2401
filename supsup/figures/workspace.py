"""Where a figure is made: the folder of what was trained, the data, the device, who looks on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from maskstore.archive import MaskArchive
from maskstore.packed import PackedMasks, StoredTask
from supsup.archives import LocalEngine, backbone_of, train_missing
from supsup.archives.tasks import accuracy_of
from supsup.datasets import ImageSet, load
from supsup.figures.cache import Cache
from supsup.inference import Progress
from supsup.inference.mask_source import nobody_looks
from supsup.networks.backbone import Backbone
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks import TaskRecipe, make_task
from supsup.tasks.protocol import TaskData
from supsup.tasks.subset import sample_test
from supsup.training.config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """Masks of tasks over one network.

    Attributes:
        accuracies: of each on its whole test set, as measured after its training.
    """

    backbone: Backbone
    masks: PackedMasks
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """What every figure is given.

    Attributes:
        folder: where archives, and measurements that take a training, are kept and found again.
        data_dir: folder of the data files, see :func:`supsup.datasets.load`.
        device: where all is computed.
        report: told of each stage: its name, what is done of it, and all there is of it.
    """

    folder: Path
    data_dir: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    report: Progress = nobody_looks
    _loaded: dict[str, ImageSet] = field(default_factory=dict, init=False, repr=False)

    def dataset(self, name: str) -> ImageSet:
        """A data set on the device, read once; raises as :func:`supsup.datasets.load`."""
        if name not in self._loaded:
            self._loaded[name] = load(name, self.data_dir).to(self.device)
        return self._loaded[name]

    def archive(self, family: str, network: BackboneRecipe, config: TrainConfig) -> Path:
        """Where the masks of such a training are: figures share what they have in common."""
        parts = [family, network.net, network.outputs, config.rule, config.optimizer, config.steps]
        if config.rule != "threshold":
            parts += [config.budget, config.density]
        if config.transfer != "none":
            parts.append(config.transfer)
        return self.folder / ("-".join(map(str, [*parts, f"seed{config.seed}"])) + ".h5")

    def train(
        self,
        family: str,
        recipes: Sequence[TaskRecipe],
        network: BackboneRecipe,
        config: TrainConfig,
        *,
        codec: str = "fast",
    ) -> Path:
        """The :meth:`archive` of those tasks, trained unless they are there; it may have more.

        Args:
            codec: ``auto``, the smallest code, takes seconds a mask.
        """
        path = self.archive(family, network, config)
        done = 0

        def one_more(stored: StoredTask) -> None:
            nonlocal done
            done += 1
            self.report(f"training {path.stem}", done, len(recipes))

        train_missing(
            path,
            recipes,
            network,
            config,
            engine=LocalEngine(device=self.device, dataset_of=self.dataset),
            codec=codec,
            on_task=one_more,
        )
        return path

    def trained(
        self,
        family: str,
        recipes: Sequence[TaskRecipe],
        network: BackboneRecipe,
        config: TrainConfig,
    ) -> Trained:
        """The masks of :meth:`train`, of just those tasks."""
        names = [recipe.name for recipe in recipes]
        with MaskArchive.open(self.train(family, recipes, network, config)) as archive:
            return Trained(
                backbone=backbone_of(archive, device=self.device),
                masks=archive.packed(names),
                accuracies=tuple(accuracy_of(archive, archive.task(name)) for name in names),
            )

    def tasks(self, recipes: Sequence[TaskRecipe], images: int | None, seed: int) -> list[TaskData]:
        """The tasks, each with so many of its test images at most (:func:`sample_test`)."""
        dataset = self.dataset(recipes[0].dataset)
        whole = (make_task(recipe, dataset) for recipe in recipes)
        return [t if images is None else sample_test(t, images, seed=seed) for t in whole]

    def cached(self, name: str, settings: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """What ``make`` returns, kept in the folder: :meth:`supsup.figures.cache.Cache.cached`."""
        return Cache(folder=self.folder).cached(name, settings, make)
