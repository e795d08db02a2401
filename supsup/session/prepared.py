"""An archive that holds at least the masks asked for: what is missing in it is trained."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from maskstore.archive import MaskArchive, StoredTask
from maskstore.errors import ArchiveWriteError
from supsup.backbone import build
from supsup.config import TrainConfig
from supsup.data import ImageSet, TaskRecipe, load, make_task
from supsup.recipe import BackboneRecipe
from supsup.session.network import backbone_of, check_recipe, create_archive
from supsup.session.training import check_classes, missing_tasks, train_into
from supsup.train import Progress


def train_missing(
    path: Path,
    recipes: Sequence[TaskRecipe],
    network: BackboneRecipe,
    config: TrainConfig,
    *,
    codec: str = "auto",
    dataset_of: Callable[[str], ImageSet] = load,
    device: torch.device | None = None,
    progress: Callable[[Progress], None] | None = None,
    on_task: Callable[[StoredTask], None] = lambda stored: None,
) -> int:
    """Make the archive if there is none, train what it lacks of those tasks; returns how many.

    Folders on the way are made. What was killed goes on after the last mask that is there.

    Args:
        dataset_of: gives a data set by its name, asked for where something is missing.
        progress: see :func:`supsup.train`.
        on_task: called with each mask that was appended.

    Raises:
        ArchiveWriteError: the folder cannot be made or written to.
        LayoutMismatch, InvalidInput: what is there was made in another way.
    """
    make_folder(path.parent)
    check_classes(recipes, network.outputs, outliers=config.outliers > 0)
    if not path.exists():
        create_archive(path, build(network), config).close()
    with MaskArchive.open(path, "a") as archive:
        check_recipe(archive, network)
        missing = missing_tasks(archive, recipes, config, resume=True)
        if missing:
            place = device or torch.device("cpu")
            dataset = dataset_of(missing[0].dataset).to(place)
            tasks = (make_task(recipe, dataset) for recipe in missing)
            backbone = backbone_of(archive, device=place)
            for stored in train_into(
                archive, backbone, tasks, config, codec=codec, progress=progress
            ):
                on_task(stored)
    return len(missing)


def make_folder(folder: Path) -> None:
    """Make a folder and those on the way; raises ArchiveWriteError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArchiveWriteError(f"{folder}: cannot make the folder: {error.strerror}") from error
