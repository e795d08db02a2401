"""Images drawn from what an archive keeps of other tasks: no data of theirs are needed.

Prototypes (:mod:`supsup.inference.prototypes`) say of each class of a task the mean of its features
and, for all together, their covariance: a normal distribution to draw features from. A mask is
trained on inputs, so features that were drawn are turned back into one: by a ridge regression from
features to inputs, fitted to the training images of the task itself, as these are at hand and like
those of others. Where features say too little of the input for that, it is refused.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import permutation
from supsup.inference.prototypes import ClassMeans, FeatureRecipe, Features, PooledCovariance
from supsup.networks.backbone import Backbone
from supsup.tasks import TaskRecipe
from supsup.tasks.checked import train_images
from supsup.tasks.fingerprint import Fingerprint
from supsup.tasks.order import held_out_images
from supsup.tasks.protocol import TaskData
from supsup.training.batches import held_out_of
from supsup.training.config import TrainConfig

_IMAGES, _NUMBERS = 2048, 1 << 26
"""Of the task, that features are turned back by: so many images, and no more numbers in them."""

_CHECKED = 4
"""One in so many of these images is not fitted, and tells whether the others' fit holds."""

_LEAST_EXPLAINED = 0.5
"""Share of the variance of these that has to come back. 248 features give back 0.55 to 0.7 of
other tasks' digits (docs/results/outlier_kinds.md); with less than half the mean image is most of
what is drawn."""

_RIDGE = 1e-3
"""Of the features' mean variance, as inference has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTask:
    """A task of which prototypes are kept.

    Attributes:
        recipe: JSON of the recipe of its data; None where nothing remakes them.
        data: fingerprint of data that nothing remakes.
        means: of features, by class.
    """

    name: str
    recipe: Mapping[str, Any] | None
    data: Fingerprint | None
    means: ClassMeans

    def is_of(self, name: str, recipe: Mapping[str, Any] | None, data: Fingerprint | None) -> bool:
        """Whether these are prototypes of that task's own data, under whatever name."""
        if recipe is not None and self.recipe is not None:
            return _plain(self.recipe) == _plain(recipe)
        if data is not None and self.data is not None:
            return self.data.difference(data) is None
        return self.name == name


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTasks:
    """What is known of tasks whose data are not at hand.

    Attributes:
        features: what the means are of.
        covariance: of these within classes.
    """

    tasks: tuple[KnownTask, ...]
    features: FeatureRecipe
    covariance: PooledCovariance

    def beside(self, task: TaskData | TaskRecipe) -> list[KnownTask]:
        """All tasks but this one, whatever it is called there.

        Raises:
            InvalidInput: there is no other.
        """
        recipe = task if isinstance(task, TaskRecipe) else task.recipe
        data = None
        if not isinstance(task, TaskRecipe) and any(each.data is not None for each in self.tasks):
            data = Fingerprint.of(task) if recipe is None else None
        about = None if recipe is None else recipe.to_json()
        others = [each for each in self.tasks if not each.is_of(task.name, about, data)]
        if not others:
            raise InvalidInput(
                f"outliers: no task but {task.name!r} itself has prototypes to draw gaussian ones "
                "from; take another kind, or train it once others have (`supsup-store prototypes`)"
            )
        return others


def require_others(others: OtherTasks | None) -> OtherTasks:
    """The other tasks; raises InvalidInput where nothing is known of any."""
    if others is None:
        raise InvalidInput(
            "outliers: gaussian ones are drawn from prototypes of other tasks, and there are none; "
            "add them to the archive that is trained into (`supsup-store prototypes`), or name one "
            "that has them (`--outliers-from`)"
        )
    return others


class DrawnImages:
    """Images like those of other tasks, for the training of one task.

    Attributes:
        numbers: random numbers that each takes.
    """

    def __init__(
        self, task: TaskData, others: OtherTasks, backbone: Backbone, config: TrainConfig
    ) -> None:
        """Fit what turns features back into inputs to the task's own training images.

        Raises:
            InvalidInput: there is no other task; several tensors or no real numbers an image; or
                features that say too little of them.
        """
        means = np.concatenate([each.means.means for each in others.beside(task)])
        size = others.features.size
        self.numbers = size + 1
        x = _images_of(task, config)
        features = torch.from_numpy(Features(others.features, backbone)(x)).to(torch.float64)
        inputs = x.flatten(1).to("cpu", torch.float64)
        fitted = len(x) - len(x) // _CHECKED
        middle, origin = features[:fitted].mean(0), inputs[:fitted].mean(0)
        back = _regression(features[:fitted] - middle, inputs[:fitted] - origin)
        explained = _explained((features[fitted:] - middle) @ back, inputs[fitted:] - origin)
        if explained < _LEAST_EXPLAINED:
            raise InvalidInput(
                f"outliers: task {task.name!r}: prototypes of {size} features"
                f"{_of_layer(others.features)} give back {max(explained, 0):.0%} of what images "
                f"differ by, and gaussian ones need {_LEAST_EXPLAINED:.0%}; take another kind, or "
                "more features of the input (`supsup-store prototypes --features`)"
            )
        within = others.covariance.regular(size, [each.means for each in others.tasks])
        spread = torch.from_numpy(np.linalg.cholesky(within)).T @ back
        centres = (torch.from_numpy(means).to(torch.float64) - middle) @ back + origin
        self._centres = centres.to(backbone.device, torch.float32)
        self._spread = spread.to(backbone.device, torch.float32)

    def images(self, uniform: Float32[Tensor, "image number"]) -> Float32[Tensor, "image input"]:
        """One for each row of :attr:`numbers` numbers from [0, 1): of any class of any other task,
        all alike."""
        label = (uniform[:, 0] * len(self._centres)).long()
        # From the middle of each step, so that none is infinite; in float64, where it is not 1.
        even = uniform[:, 1:].to(torch.float64) + 2.0**-25
        normal = (math.sqrt(2.0) * torch.erfinv(2 * even - 1)).to(torch.float32)
        return self._centres[label] + normal @ self._spread


def _images_of(task: TaskData, config: TrainConfig) -> Float32[Tensor, "image ..."]:
    """Some of those that it is trained on, in batches like those of training, as loaders give no
    others."""
    held_out = held_out_images(config.seed, task.name, task.train_size, held_out_of(task))
    order = torch.from_numpy(permutation(config.seed, f"outliers/{task.name}", task.train_size))
    order = order[~torch.isin(order, held_out)].to(task.device)
    parts: list[Tensor] = []
    for indices in order.split(config.batch):
        if parts and len(indices) < config.batch:
            break
        images = train_images(task, indices)[0]
        parts.append(images)
        count = sum(map(len, parts))
        if count >= _IMAGES or count * images[0].numel() >= _NUMBERS:
            break
    return torch.cat(parts)


def _regression(
    features: Float64[Tensor, "image feature"], inputs: Float64[Tensor, "image input"]
) -> Float64[Tensor, "feature input"]:
    """Ridge, both without their means."""
    covariance = features.T @ features
    covariance.diagonal().add_(_RIDGE * covariance.trace() / len(covariance) + 1e-9)
    return torch.linalg.solve(covariance, features.T @ inputs)


def _explained(
    found: Float64[Tensor, "image input"], true: Float64[Tensor, "image input"]
) -> float:
    """Share of the variance about the mean."""
    total = float((true - true.mean(0)).square().sum())
    return 1 - float((found - true).square().sum()) / total if total else 0.0


def _plain(recipe: Mapping[str, Any]) -> str:
    return json.dumps(recipe, sort_keys=True)


def _of_layer(features: FeatureRecipe) -> str:
    return "" if features.layer is None else f" of layer {features.layer!r}"
