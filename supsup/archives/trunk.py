"""Weights that are trained here: those of a recipe's network after one task, as a weights file."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from maskstore.errors import ArchiveExists, InvalidInput
from maskstore.registry import did_you_mean
from maskstore.storage.atomic import require_writable, write_file
from supsup.archives.engine import Engine, LocalEngine
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.weights_file import WeightsFile
from supsup.tasks import TaskRecipe, make_task
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig
from supsup.training.dense import DENSE_LR, train_dense
from supsup.training.logs import TrainingLog
from supsup.training.progress import Progress

ENDING = ".trunk.safetensors"


def trunk_beside(archive: Path) -> Path:
    """Where the trained weights of an archive are put: beside it, under its name."""
    return archive.with_name(archive.name.removesuffix(".h5") + ENDING)


def require_new_trunk(recipe: BackboneRecipe, file: Path) -> None:
    """Raise where a trunk is not to be trained.

    Raises:
        InvalidInput: the network has trained weights already.
        ArchiveExists, ArchiveWriteError: the file is there, or cannot be written.
    """
    if recipe.weights_file is not None:
        raise InvalidInput(
            f"--backbone-from: the network has the weights of {recipe.weights_file.file} already; "
            "give one of --weights and --backbone-from"
        )
    require_writable(file)
    if os.path.lexists(file):
        raise ArchiveExists(
            f"{file}: there is a file already, of a network that was trained before; take it with "
            "--weights, or remove it"
        )


def require_trunk_of(archive: Path, weights: WeightsFile, task: str) -> None:
    """Raise InvalidInput where an archive's weights were not trained on a task, as far as that can
    be told: a file that is not at hand, as where its weights are inside the archive, is believed.
    """
    trained_on = None
    if weights.file.endswith(ENDING):
        try:
            with safe_open(weights.found([archive.parent]).path, "pt") as file:
                trained_on = (file.metadata() or {}).get("task")
        except (InvalidInput, OSError, SafetensorError):
            return
    if trained_on != task:
        whose = "" if trained_on is None else f", trained on task {trained_on!r}"
        raise InvalidInput(
            f"{archive}: its masks lie over the weights of {weights.file}{whose}; leave "
            "--backbone-from out to go on over them, or choose another path"
        )


def trunk_of_family(
    archive: Path,
    recipe: BackboneRecipe,
    task: str,
    recipes: Sequence[TaskRecipe],
    config: TrainConfig,
    *,
    engine: Engine,
    trusted_net: str | None,
    resume: bool,
    follow: Callable[[], AbstractContextManager[TrainingLog]],
) -> BackboneRecipe:
    """The recipe over a trunk that is trained on a task of a family; over the archive's, where
    training is resumed.

    Args:
        task: its name.
        recipes: of the family.
        follow: makes the log of that training.

    Raises:
        InvalidInput: there is no such task, the engine does not train here, or as
            :func:`train_trunk`.
        ArchiveExists: the archive is there, and its training is not resumed.
    """
    if archive.exists():
        if resume and recipe.weights_file is not None:
            require_trunk_of(archive, recipe.weights_file, task)
            return recipe
        raise ArchiveExists(
            f"{archive}: --backbone-from trains the network of a new archive, and this one has its "
            "network; leave --backbone-from out, or choose another path"
        )
    names = [each.name for each in recipes]
    if task not in names:
        raise InvalidInput(
            f"--backbone-from {task}: no such task; there are {names[0]} to {names[-1]}"
            + did_you_mean(task, names)
        )
    if not isinstance(engine, LocalEngine):
        raise InvalidInput(
            "--backbone-from: the network is trained on this machine; train it with --engine "
            "local, then go on with --resume --engine ray"
        )
    chosen = recipes[names.index(task)]
    file = trunk_beside(archive)
    require_new_trunk(recipe, file)
    data = make_task(chosen, engine.dataset_of(chosen.dataset).to(engine.place))
    with follow() as log:
        return train_trunk(
            recipe,
            data,
            config,
            file,
            device=engine.place,
            allow_code=recipe.net == trusted_net,
            report=log.progress,
        )


def train_trunk(
    recipe: BackboneRecipe,
    task: TaskData,
    config: TrainConfig,
    file: str | PathLike[str],
    *,
    lr: float = DENSE_LR,
    device: str | torch.device = "cpu",
    allow_code: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> BackboneRecipe:
    """Train the network of a recipe on one task (:func:`supsup.training.dense.train_dense`) and
    write its weights.

    Training begins from Kaiming-normal weights of the recipe's seed.

    Args:
        file: where the weights go, a new ``.safetensors``; whole or not at all.
        allow_code: as in :func:`supsup.build`.

    Returns:
        The recipe over those weights: masks trained by it lie over the trunk.

    Raises:
        InvalidInput: the recipe has trained weights already, the file is there or is called
            otherwise, or the network cannot be trained on the task.
        TrainingDiverged: a loss is not finite.
        ArchiveWriteError: the file cannot be written.
    """
    path = Path(file)
    if path.suffix != ".safetensors":
        raise InvalidInput(f"{path}: expected a file that ends in .safetensors")
    require_new_trunk(recipe, path)
    # Frozen statistics are those that a trained network has: here they are learnt.
    learning = "running" if recipe.statistics == "frozen" else recipe.statistics
    start = replace(recipe, init="kaiming-normal", statistics=learning)
    backbone = build(start, allow_code=allow_code).to(device)
    trained = train_dense(backbone, task, config, lr=lr, report=report)
    about = {"format": "pt", "task": task.name, "steps": str(config.steps_for(task.train_size))}
    write_file(path, save(trained, metadata=about))
    return replace(recipe, weights=WeightsFile.of(path))
