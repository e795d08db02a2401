"""Training the tasks of a family into an archive, from names to masks: what ``train`` does."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from maskstore import MaskArchive, StoredTask
from maskstore.codecs import parse_codec
from maskstore.errors import ArchiveWriteError, InvalidInput
from maskstore.maintenance import gone_if_empty
from maskstore.storage.atomic import require_path
from supsup.archives.classes import note_of_chance
from supsup.archives.engine import Engine, LocalEngine
from supsup.archives.network import check_recipe
from supsup.archives.opening import NetworkOptions, open_or_create
from supsup.archives.other_tasks import others_for
from supsup.archives.training import check_classes, missing_tasks
from supsup.archives.trunk import trunk_of_family
from supsup.archives.weights import build_for
from supsup.datasets.in_memory import Dataset
from supsup.datasets.own_data import OwnData
from supsup.datasets.own_source import OwnSource
from supsup.errors import TrainingDiverged, TrainingStopped
from supsup.networks.backbone import Backbone
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.registry import FLAT_NETS
from supsup.tasks import TaskRecipe, own_family, task_family
from supsup.tasks.families.base import Options
from supsup.training.config import TrainConfig
from supsup.training.drawn_images import require_others
from supsup.training.logs import Logs, TrainingLog
from supsup.training.loop import Progress
from supsup.training.metadata import TaskMetadata
from supsup.training.outliers import OUTLIER_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What a training made.

    Attributes:
        stored: the masks, in the order of their tasks.
        skipped: tasks that were there already.
        diverged: of each task that has no mask, why.
        seconds: from the first step to the last mask.
        file_bytes: of the archive.
    """

    stored: tuple[StoredTask, ...]
    skipped: int
    diverged: tuple[TrainingDiverged, ...]
    seconds: float
    file_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The document of ``train --json``."""
        return {
            "trained": [task.to_json() for task in self.stored],
            "skipped": self.skipped,
            "diverged": [{"name": each.task, "error": str(each)} for each in self.diverged],
            "seconds": self.seconds,
            "total_bytes": self.file_bytes,
        }

    def rows(self) -> list[tuple[str, float | None, str, int]]:
        """Of each mask the task, its accuracy on test images, the codec, and bytes."""
        return [
            (task.name, TaskMetadata.of(task).accuracy, task.codec, task.bytes)
            for task in self.stored
        ]

    @property
    def chance_note(self) -> str | None:
        """A line that names tasks whose training has come to nothing; None where there are none."""
        return note_of_chance(self.stored)

    def check(self) -> None:
        """Raise TrainingDiverged, naming them, where tasks have no mask."""
        if self.diverged:
            names = ", ".join(str(failure.task) for failure in self.diverged)
            tried = len(self.stored) + len(self.diverged)
            raise TrainingDiverged(
                f"{len(self.diverged)} of {tried} tasks have no mask: {names}. "
                f"First, {self.diverged[0]}"
            )


def train_family(
    path: str | PathLike[str],
    family: str,
    tasks: int | None,
    network: NetworkOptions,
    config: TrainConfig,
    *,
    task_options: Options | None = None,
    name: str | None = None,
    own: OwnData | None = None,
    backbone_from: str | None = None,
    engine: Engine,
    follow: Callable[[int], AbstractContextManager[TrainingLog]],
    resume: bool = False,
    outliers_from: str | PathLike[str] | None = None,
    parallel: int | None = None,
    codec: str = "auto",
    embed: bool = False,
    timeout: float = 10.0,
    lock: bool = True,
) -> TrainingReport:
    """Train the first tasks of a family into an archive, which is made where there is none.

    A task that diverges is left out; the others go on.

    Args:
        tasks: how many; None for all that there are.
        network: what it leaves open is the archive's.
        config: its seed is not used: that of the network is the seed of everything.
        task_options: see :func:`supsup.tasks.task_family`.
        name: tasks are called ``name/0``, ``name/1``, …; None for the family's names.
        own: the user's own images, of ``split-folder`` and the like.
        backbone_from: name of the task that the network is first trained on, whole, for as many
            steps; its weights file is put beside the new archive.
        engine: who trains.
        follow: makes the log, of so many tasks that are to be trained; called once all is checked.
        resume: skip the tasks that are there, if they were trained the same way.
        outliers_from: see :func:`train_recipes`.
        parallel: tasks at a time, see :func:`supsup.train`.
        embed: see :func:`open_or_create`.

    Raises:
        TrainingStopped: Ctrl-C; the masks that are there are kept.
        TaskExists: a task is there, and ``resume`` is off.
        InvalidInput, ArchiveError: a setting, the data, or the archive; nothing is made.
    """
    path = Path(path)
    recipe = network.recipe(path)
    config = replace(config, seed=recipe.seed)
    if own is None:
        recipes = task_family(family, tasks, recipe.seed, task_options, name)
    else:
        recipes = own_family(family, own.source, tasks, recipe.seed, task_options, name)
        engine = _with_images(engine, own.images)
        if not path.exists():
            recipe = fitted_to(recipe, own.source)
    if backbone_from is not None:
        parse_codec(codec)
        check_classes(
            recipes, recipe.outputs, outliers=config.outlier_kind if config.outliers else None
        )
        recipe = trunk_of_family(
            path,
            recipe,
            backbone_from,
            recipes,
            config,
            engine=engine,
            trusted_net=network.net,
            resume=resume,
            follow=partial(follow, 1),
        )
    stored: list[StoredTask] = []
    failures: list[TrainingDiverged] = []
    with ExitStack() as stack:
        start = time.perf_counter()
        log: TrainingLog = Logs([])

        def begun(count: int) -> None:
            nonlocal start, log
            start = time.perf_counter()
            log = stack.enter_context(follow(count))

        def trained(task: StoredTask) -> None:
            stored.append(task)
            log.trained(task.name, TaskMetadata.of(task).metrics)

        def failed(failure: TrainingDiverged) -> None:
            failures.append(failure)
            log.diverged(failure)

        wanted = train_recipes(
            path,
            recipes,
            recipe,
            config,
            engine=engine,
            resume=resume,
            outliers_from=outliers_from,
            parallel=parallel,
            codec=codec,
            trusted_net=network.net,
            embed=embed,
            timeout=timeout,
            lock=lock,
            on_begin=begun,
            progress=lambda progress: log.progress(progress),
            diverged=failed,
            on_task=trained,
        )
    seconds = time.perf_counter() - start
    with MaskArchive.open(path) as archive:
        file_bytes = archive.file_bytes
    return TrainingReport(
        stored=tuple(stored),
        skipped=len(recipes) - wanted,
        diverged=tuple(failures),
        seconds=seconds,
        file_bytes=file_bytes,
    )


def _with_images(engine: Engine, images: Dataset) -> Engine:
    if not isinstance(engine, LocalEngine):
        raise InvalidInput(
            "--engine ray: its machines load data sets by name, and own images have none there; "
            "train them here (--engine local)"
        )
    return replace(engine, dataset_of=lambda name: images)


def fitted_to(recipe: BackboneRecipe, source: OwnSource) -> BackboneRecipe:
    """The recipe of a net of linear layers with as many inputs as an image has numbers."""
    numbers = source.channels * source.height * source.width
    if recipe.net not in FLAT_NETS or "inputs" in recipe.options or numbers == 784:
        return recipe
    return replace(recipe, options={**recipe.options, "inputs": numbers})


def train_recipes(
    path: str | PathLike[str],
    recipes: Sequence[TaskRecipe],
    network: BackboneRecipe,
    config: TrainConfig,
    *,
    engine: Engine = LocalEngine(),
    resume: bool = False,
    outliers_from: str | PathLike[str] | None = None,
    parallel: int | None = None,
    codec: str = "auto",
    trusted_net: str | None = None,
    embed: bool = False,
    timeout: float = 10.0,
    lock: bool = True,
    on_begin: Callable[[int], None] = lambda tasks: None,
    progress: Callable[[Progress], None] | None = None,
    diverged: Callable[[TrainingDiverged], None] | None = None,
    on_task: Callable[[StoredTask], None] = lambda stored: None,
) -> int:
    """Train what an archive lacks of those tasks, making it where there is none; returns how many.

    What is wrong with settings, tasks or data is said before an archive is made.

    Args:
        resume: skip the tasks that are there, if they were trained the same way.
        outliers_from: archive whose prototypes gaussian outliers are drawn from; None for the one
            that is trained into.
        trusted_net: a ``module:function`` that may be imported, if the network is just that.
        embed: see :func:`open_or_create`.
        on_begin: told how many tasks are to be trained.
        progress, diverged: see :func:`supsup.train`.
        on_task: called with each mask that was appended.

    Raises:
        TrainingStopped: Ctrl-C; the masks that are there are kept.
        TaskExists: a task is there, and ``resume`` is off.
        LayoutMismatch, DigestMismatch, InvalidInput: what is there was made in another way.
    """
    path = Path(path)
    parse_codec(codec)
    check_classes(
        recipes, network.outputs, outliers=config.outlier_kind if config.outliers else None
    )
    missing = list(recipes)
    if path.exists():  # data are asked for only where something is missing
        with MaskArchive.open(path) as archive:
            check_recipe(archive, network)
            missing = missing_tasks(archive, recipes, config, resume=resume)
        file = network.weights_file
        named_here = file is not None and file.path is not None
        if not missing and not embed and not named_here:
            on_begin(0)
            return 0
    backbone = build_for(path, network, allow_code=network.net == trusted_net)
    if not missing:  # but weights that were named are compared, or put into the archive
        open_or_create(path, backbone, config, embed=embed, timeout=timeout, lock=lock).close()
        on_begin(0)
        return 0
    with ExitStack() as stack:
        how = _drawn_of(stack, path, outliers_from, missing, config, engine, backbone)
        train_into = stack.enter_context(engine.begin(missing))
        is_new = not path.exists()
        archive = open_or_create(path, backbone, config, embed=embed, timeout=timeout, lock=lock)
        stack.enter_context(
            gone_if_empty(archive, unless=(TrainingStopped,)) if is_new else archive
        )
        missing = missing_tasks(archive, recipes, config, resume=resume)
        on_begin(len(missing))
        try:
            for stored in train_into(
                archive,
                backbone.to(engine.place),
                missing,
                config,
                codec=codec,
                parallel=parallel,
                progress=progress,
                diverged=diverged,
                **how,
            ):
                on_task(stored)
        except KeyboardInterrupt:
            done = sum(recipe.name in archive for recipe in recipes)
            raise TrainingStopped(path, done=done, tasks=len(recipes)) from None
    return len(missing)


def _drawn_of(
    stack: ExitStack,
    path: Path,
    outliers_from: str | PathLike[str] | None,
    recipes: Sequence[TaskRecipe],
    config: TrainConfig,
    engine: Engine,
    backbone: Backbone,
) -> dict[str, MaskArchive]:
    """What training is told of where outliers are drawn from; raises InvalidInput where there is
    nothing to draw from for a task."""
    draws = OUTLIER_KINDS[config.outlier_kind].draws_others
    if outliers_from is not None and not draws:
        raise InvalidInput("outliers_from: goes with outlier_kind gaussian (`--outlier-kind`)")
    if not draws:
        return {}
    if not isinstance(engine, LocalEngine):
        raise InvalidInput(
            "--engine ray: gaussian outliers are drawn from an archive, which its machines have "
            "not; train with them here (--engine local)"
        )
    source = Path(path if outliers_from is None else outliers_from)
    if not source.exists() and outliers_from is None:
        require_others(None)
    archive = stack.enter_context(MaskArchive.open(source))
    others = others_for(config, archive, backbone)
    assert others is not None
    for recipe in recipes:
        others.beside(recipe)
    return {} if outliers_from is None else {"outliers_from": archive}


def train_missing(
    path: str | PathLike[str],
    recipes: Sequence[TaskRecipe],
    network: BackboneRecipe,
    config: TrainConfig,
    *,
    engine: Engine = LocalEngine(),
    codec: str = "auto",
    trusted_net: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    on_task: Callable[[StoredTask], None] = lambda stored: None,
) -> int:
    """:func:`train_recipes` going on with what is there; folders on the way are made.

    Raises:
        ArchiveWriteError: the folder cannot be made or written to.
    """
    path = Path(path)
    make_folder(path.parent)
    return train_recipes(
        path,
        recipes,
        network,
        config,
        engine=engine,
        resume=True,
        codec=codec,
        trusted_net=trusted_net,
        progress=progress,
        on_task=on_task,
    )


def make_folder(folder: str | PathLike[str]) -> None:
    """Make a folder and those on the way; raises ArchiveWriteError where that cannot be done.

    InvalidInput, where it is a URL.
    """
    folder = Path(folder)
    require_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArchiveWriteError(f"{folder}: cannot make the folder: {error.strerror}") from error
