"""An archive and its network together: make, train into, evaluate, infer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from maskstore.archive import MaskArchive, StoredTask
from maskstore.errors import InvalidInput, LayoutMismatch, TaskExists
from maskstore.scores import ScoreStart
from supsup.backbone import Backbone, build
from supsup.config import TrainConfig
from supsup.data import ImageSet, Task, TaskRecipe, load, make_task
from supsup.data.inputs import load_inputs
from supsup.errors import TrainingDiverged
from supsup.evaluate import EVAL_BATCH, Evaluation, evaluate_gg
from supsup.inference import Inference, MaskBank, evaluate_gns, evaluate_gnu, evaluate_nns, infer_in
from supsup.protocols import TaskData
from supsup.recipe import BackboneRecipe
from supsup.train import Progress, TrainedMask, train

SCENARIOS = ("GG", "GNs", "GNu", "NNs")

IN_MEMORY_BYTES = 1 << 30
"""Archives with more packed masks than this are streamed in inference, block by block."""

_EXAMPLE = {
    "task": TaskRecipe(dataset="mnist", rule="permuted", index=0).to_json(),
    "scores": ScoreStart(seed=0).to_json(),
    "metrics": {"accuracy": 0.95, "loss": 0.15, "density": 0.5, "steps": 1000},
}
"""What ``train`` keeps with a mask; an archive stores only what differs from it."""


def create_archive(
    path: str | PathLike[str], backbone: Backbone, config: TrainConfig | None = None
) -> MaskArchive:
    """An empty archive for masks of ``backbone``, open for writing.

    Args:
        config: how the tasks will be trained, where that is known: tasks with other settings can be
            added, too, but each of them keeps the differences.

    Raises:
        InvalidInput: the backbone was made from a module and has no recipe.
        ArchiveExists, ArchiveWriteError: as :meth:`MaskArchive.create`.
    """
    if backbone.recipe is None:
        raise InvalidInput(
            "an archive keeps the recipe of its backbone; make it with supsup.build(recipe), "
            "where the recipe's net may be your own module:function"
        )
    return MaskArchive.create(
        Path(path),
        backbone.layout,
        backbone=backbone.recipe.to_json(),
        weights_digest=backbone.digest,
        parameters=backbone.parameter_count,
        metadata_example=_EXAMPLE | {"training": (config or TrainConfig(steps=1000)).to_json()},
    )


def backbone_of(
    archive: MaskArchive, *, device: str | torch.device = "cpu", trusted_net: str | None = None
) -> Backbone:
    """Regenerate the network of an archive and compare its digest with the recorded one.

    Args:
        trusted_net: a ``module:function`` that may be imported, if the archive names just that.

    Raises:
        InvalidInput: the archive has no recipe, or names code that is not trusted.
        DigestMismatch: the weights are not those that the masks were trained on.
    """
    if archive.backbone is None or archive.weights_digest is None:
        raise InvalidInput(
            f"{archive.path}: made by hand, without the recipe of a network; "
            "make it with `supsup-store create ARCHIVE --net …` to train or evaluate"
        )
    recipe = BackboneRecipe.from_json(archive.backbone)
    backbone = build(recipe, allow_code=recipe.net == trusted_net)
    backbone.check_digest(archive.weights_digest)
    if backbone.layout != archive.layout:
        raise LayoutMismatch(
            f"{archive.path}: its masks cover {_names(archive)}, "
            f"those of its network {recipe.net} cover {', '.join(backbone.layout.shapes)}"
        )
    return backbone.to(device)


def parse_device(name: str) -> torch.device:
    """A torch device that is there.

    Raises:
        InvalidInput: unknown, or not on this machine.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"device {name!r} cannot be used here ({reason}); try cpu") from error
    return device


def check_recipe(archive: MaskArchive, wanted: BackboneRecipe) -> None:
    """Raise LayoutMismatch unless the archive was made for ``wanted``."""
    found = archive.backbone or {}
    for key, value in wanted.to_json().items():
        if found.get(key) != value:
            raise LayoutMismatch(
                f"{archive.path}: made for {key} {found.get(key)!r}, asked for {value!r}; "
                "leave the option out to use the archive's network, or name another archive"
            )


def check_classes(recipes: Sequence[TaskRecipe], outputs: int) -> None:
    """Raise InvalidInput where a task has more classes than a network of ``outputs`` outputs."""
    for recipe in recipes:
        if recipe.class_count > outputs:
            raise InvalidInput(
                f"task {recipe.name!r} has {recipe.class_count} classes, the network {outputs} "
                f"outputs; make the archive with --outputs {recipe.class_count} or more"
            )


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

    With transfer, all tasks of the archive are the earlier ones.

    Raises:
        TrainingDiverged, TaskExists, ArchiveWriteError: the tasks yielded so far are kept.
    """
    before = list(archive) if config.transfer != "none" else []
    if parallel is None and backbone.device.type != "cpu":
        parallel = together_in(archive)
    trained = train(
        backbone,
        tasks,
        config,
        parallel=parallel,
        earlier=(archive.get(task.name) for task in before),
        progress=progress,
        diverged=diverged,
    )
    yield from append(archive, trained, codec=codec)


def together_in(archive: MaskArchive) -> int | None:
    """How many tasks shared a step when the last mask was trained; None where none did."""
    if not len(archive):
        return None
    *_, last = archive
    return last.metadata.get("together")


def append(
    archive: MaskArchive, trained: Iterable[TrainedMask], *, codec: str = "auto"
) -> Iterator[StoredTask]:
    """Append each mask as it comes; it is durable when it is yielded."""
    for each in trained:
        yield archive.add(
            each.name, each.masks, each.metadata | {"metrics": each.metrics}, codec=codec
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


def tasks_of(archive: MaskArchive, data_dir: str | PathLike[str] | None = None) -> Iterator[Task]:
    """Remake the task of every mask, from the recipes that the archive keeps.

    Raises:
        InvalidInput: a mask has no recipe, or its data set is not at hand.
    """
    return _remake((_recipe_of(archive, stored) for stored in archive), data_dir)


def bank_of(archive: MaskArchive, backbone: Backbone) -> MaskBank:
    """The masks of an archive, ready for inference; in memory if they are few enough.

    Raises:
        InvalidInput: the archive is empty, or a mask has no recipe of its task.
    """
    classes = max((_recipe_of(archive, task).class_count for task in archive), default=None)
    small = len(archive) * archive.layout.packed_bytes <= IN_MEMORY_BYTES
    return MaskBank(backbone, archive.packed() if small else archive, classes=classes)


def evaluate_archive(
    archive: MaskArchive,
    backbone: Backbone,
    *,
    scenario: str = "GG",
    method: str = "auto",
    objective: str = "auto",
    mode: str = "image",
    batch: int = EVAL_BATCH,
    data_dir: str | PathLike[str] | None = None,
    on_task: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate an archive on the test sets of all its tasks.

    Args:
        scenario: ``GG``: the task is given; ``GNs``, ``GNu``: it is inferred among all masks, and
            labels are shared or not; ``NNs``: as ``GNs``, over all tasks that the masks were given
            batches of.
        method, objective, mode: how it is inferred, see :func:`supsup.inference.infer`.
        on_task: called with a task's name before it is evaluated.

    Raises:
        InvalidInput: an unknown name, an empty archive, or a task that cannot be remade.
    """
    if scenario not in SCENARIOS:
        raise InvalidInput(
            f"scenario {scenario!r}: expected one of {', '.join(SCENARIOS)} in this release"
        )
    if scenario == "NNs":
        return evaluate_nns(
            bank_of(archive, backbone),
            _remake(
                dict.fromkeys(r for task in archive for r in _sources(archive, task)), data_dir
            ),
            [_recipe_of(archive, stored).name for stored in archive],
            method=method,
            objective=objective,
            mode=mode,
            batch=batch,
            on_task=on_task,
        )
    if scenario != "GG":
        evaluate = evaluate_gns if scenario == "GNs" else evaluate_gnu
        return evaluate(
            bank_of(archive, backbone),
            tasks_of(archive, data_dir),
            method=method,
            objective=objective,
            mode=mode,
            batch=batch,
            on_task=on_task,
        )

    def pairs() -> Iterator[tuple[Task, dict[str, Any]]]:
        for task in tasks_of(archive, data_dir):
            if on_task is not None:
                on_task(task.name)
            yield task, archive.get(task.name)

    return evaluate_gg(backbone, pairs(), batch)


def infer_file(
    archive: MaskArchive,
    backbone: Backbone,
    data: Path,
    *,
    method: str = "auto",
    objective: str = "auto",
    mode: str = "image",
) -> Inference:
    """Find the task of the images in a file, and their classes (see :func:`load_inputs`).

    Raises:
        InvalidInput: an empty archive, or data that its network cannot take.
    """
    bank = bank_of(archive, backbone)
    recipe = _recipe_of(archive, next(iter(archive)))
    x = load_inputs(data, recipe.dataset)
    return infer_in(bank, x, method=method, objective=objective, mode=mode)


def _remake(recipes: Iterable[TaskRecipe], data_dir: str | PathLike[str] | None) -> Iterator[Task]:
    datasets: dict[str, ImageSet] = {}
    for recipe in recipes:
        if recipe.dataset not in datasets:
            datasets[recipe.dataset] = load(recipe.dataset, data_dir)
        yield make_task(recipe, datasets[recipe.dataset])


def _sources(archive: MaskArchive, stored: StoredTask) -> list[TaskRecipe]:
    """The tasks that a mask was given batches of (:mod:`supsup.nns`), or the one it is for."""
    sources = stored.metadata.get("sources")
    if sources is None:
        return [_recipe_of(archive, stored)]
    return [TaskRecipe.from_json(source["task"]) for source in sources]


def _recipe_of(archive: MaskArchive, stored: StoredTask) -> TaskRecipe:
    if not stored.metadata.get("task"):
        raise InvalidInput(
            f"{archive.path}: task {stored.name!r} was added without the recipe of its data, "
            "so it cannot be evaluated; masks made by `supsup-store train` have one"
        )
    return TaskRecipe.from_json(stored.metadata["task"])


def _names(archive: MaskArchive) -> str:
    return ", ".join(archive.layout.shapes)
