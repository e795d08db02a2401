"""What travels to the machines of a cluster, and what they do with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor

from supsup.datasets import ImageSet, load
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks import Task, TaskRecipe, make_task
from supsup.training.config import TrainConfig
from supsup.training.loop import train
from supsup.training.outcome import Outcome
from supsup.training.plan import plan_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that the groups of one training share: recipes, neither weights nor images. Weights that
    no seed gives back travel once to each machine, beside it.

    Attributes:
        backbone: regenerates the network on every machine.
        weights_digest: what its weights must be there.
        device: ``cpu`` or ``cuda``, the GPU that a worker was given.
        data_dir: folder of the data files on every machine; None for those that :func:`load` finds.
    """

    backbone: BackboneRecipe
    weights_digest: str
    config: TrainConfig
    device: str
    data_dir: Path | None


Values = Mapping[str, Shaped[Tensor, "..."]]
"""Trained weights by name, of :meth:`supsup.Backbone.trained_values`."""


def train_recipes(
    work: Work,
    recipes: Sequence[TaskRecipe],
    rows: int | None = None,
    values: Values | None = None,
) -> list[Outcome]:
    """Remake some tasks and train them; one outcome for each, in order.

    Args:
        values: those of the recipe's weights file; None where all weights are from the seed.
        rows: tasks in each step on a GPU. On the CPU tasks are trained one after another by one
            thread, which gives the bits that all cores of one machine, a task each, give.

    Raises:
        DigestMismatch: this machine makes other weights from the recipe.
        InvalidInput: the data set is not at hand, or a task does not fit the network.
    """
    if work.device == "cpu":
        torch.set_num_threads(1)
    backbone = _backbone(work, values)
    tasks = (_task(work, recipe) for recipe in recipes)
    outcomes: list[Outcome] = []
    outcomes.extend(train(backbone, tasks, work.config, parallel=rows, diverged=outcomes.append))
    return outcomes


def rows_that_fit(work: Work, recipe: TaskRecipe, values: Values | None = None) -> int:
    """How many tasks like that one the device of this worker has room for at a time."""
    return plan_for(_backbone(work, values), work.config, _task(work, recipe)).rows


def _task(work: Work, recipe: TaskRecipe) -> Task:
    return make_task(recipe, _dataset(recipe.dataset, work.data_dir, work.device))


# Workers live on from group to group, with what they made for the first.
_made: dict[Work, Backbone] = {}


def _backbone(work: Work, values: Values | None) -> Backbone:
    if work not in _made:
        # Whoever sent the recipe has built it: its code, if it names any, was allowed there.
        backbone = build(work.backbone, allow_code=True, values=values)
        backbone.check_digest(work.weights_digest)
        _made.clear()
        _made[work] = backbone.to(work.device)
    return _made[work]


@lru_cache(maxsize=1)
def _dataset(name: str, data_dir: Path | None, device: str) -> ImageSet:
    return load(name, data_dir, quiet=True).to(device)
