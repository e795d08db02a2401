"""Training into an archive: what is still to be done, and each mask as soon as it is there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain

from maskstore.archive import MaskArchive, StoredTask
from maskstore.errors import InvalidInput, TaskExists
from supsup.backbone import Backbone
from supsup.config import TrainConfig
from supsup.data import TaskRecipe
from supsup.engine.outliers import check_spare
from supsup.errors import TrainingDiverged
from supsup.protocols import TaskData
from supsup.session.kept_scores import KeptScores
from supsup.train import Progress, TrainedMask, train


def check_classes(recipes: Sequence[TaskRecipe], outputs: int, *, outliers: bool = False) -> None:
    """Raise InvalidInput where a task has more classes than a network of ``outputs`` outputs.

    Args:
        outliers: whether there must be an output more, for outliers.
    """
    for recipe in recipes:
        if outliers:
            check_spare(recipe.name, recipe.class_count, outputs)
        if recipe.class_count > outputs:
            raise InvalidInput(
                f"task {recipe.name!r} has {recipe.class_count} classes, the network {outputs} "
                f"outputs; make the archive with --outputs {recipe.class_count} or more"
            )


def missing_tasks(
    archive: MaskArchive, recipes: Sequence[TaskRecipe], config: TrainConfig, *, resume: bool
) -> list[TaskRecipe]:
    """The tasks still to be trained.

    Args:
        resume: skip the tasks that are there, provided they were trained the same way.

    Raises:
        TaskExists: a task is there and ``resume`` is off.
        InvalidInput: a task is there but was trained on other data or with other settings.
    """
    missing = []
    for recipe in recipes:
        if recipe.name not in archive:
            missing.append(recipe)
            continue
        if not resume:
            raise TaskExists(
                f"{archive.path}: task {recipe.name!r} is there already; "
                "go on with --resume to skip what is there, or remove it first"
            )
        metadata = archive.task(recipe.name).metadata
        expected = {"task": recipe.to_json(), "training": config.to_json()}
        for what, wanted in expected.items():
            found = metadata.get(what) or {}
            if what == "training" and found:
                found = TrainConfig.from_json(found).to_json()  # with fields younger than the mask
            for key, value in wanted.items():
                if found.get(key) != value:
                    raise InvalidInput(
                        f"{archive.path}: task {recipe.name!r} was trained with "
                        f"{what} {key} {found.get(key)!r}, asked for {value!r}; "
                        "resume with the same settings, or use another archive"
                    )
    return missing


def train_into(
    archive: MaskArchive,
    backbone: Backbone,
    tasks: Iterable[TaskData],
    config: TrainConfig,
    *,
    codec: str = "auto",
    parallel: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    diverged: Callable[[TrainingDiverged], None] | None = None,
) -> Iterator[StoredTask]:
    """Train each task and append its mask as soon as it is done, durable when it is yielded.

    Args:
        parallel, progress, diverged: as in :func:`supsup.train`. On a GPU ``parallel`` is by
            default what the archive's last mask was trained with: bits may depend on it.

    With transfer, all tasks of the archive are the earlier ones. Where it is of scores, these are
    kept in a file beside the archive (:mod:`supsup.session.kept_scores`), for the tasks to come.

    Raises:
        TrainingDiverged, TaskExists, ArchiveWriteError: the tasks yielded so far are kept.
        InvalidInput: with transfer of scores, that file is lost or another archive's.
    """
    left = iter(tasks)
    if (first := next(left, None)) is None:
        return
    kept = KeptScores(archive) if config.transfer == "scores" else None
    before = list(archive) if config.transfer == "masks" else []
    if parallel is None and backbone.device.type != "cpu":
        parallel = together_in(archive)
    trained = train(
        backbone,
        chain([first], left),
        config,
        parallel=parallel,
        earlier=kept.earlier if kept else (archive.get(task.name) for task in before),
        progress=progress,
        diverged=diverged,
    )
    yield from append(archive, trained, codec=codec, kept=kept)


def together_in(archive: MaskArchive) -> int | None:
    """How many tasks shared a step when the last mask was trained; None where none did."""
    if not len(archive):
        return None
    *_, last = archive
    return last.metadata.get("together")


def append(
    archive: MaskArchive,
    trained: Iterable[TrainedMask],
    *,
    codec: str = "auto",
    kept: KeptScores | None = None,
) -> Iterator[StoredTask]:
    """Append each mask as it comes, and keep its scores; it is durable when it is yielded."""
    for each in trained:
        with kept.adding(each) if kept else nullcontext():
            stored = archive.add(
                each.name, each.masks, each.metadata | {"metrics": each.metrics}, codec=codec
            )
        yield stored
