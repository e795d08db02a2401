"""Learning the stream of a family into an archive, from names to masks: what ``learn`` does."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from maskstore.codecs import parse_codec
from maskstore.errors import ArchiveExists
from maskstore.maintenance import gone_if_empty
from maskstore.packed import StoredTask
from supsup.archives import check_classes, create_archive, open_or_create, parse_device
from supsup.archives.families import fitted_to
from supsup.archives.weights import build_for
from supsup.networks.recipe import BackboneRecipe
from supsup.task_free.allocation import parse_allocation
from supsup.task_free.checkpoint import LearnerCheckpoint, learn_into
from supsup.task_free.learner import Learner, Report
from supsup.task_free.stream import task_stream
from supsup.tasks import load_family, make_task
from supsup.tasks.families.base import Options
from supsup.training.config import TrainConfig
from supsup.training.metadata import TaskMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """A stream of tasks, and who decides which mask a batch is for.

    Attributes:
        visits, least, most: see :func:`task_stream`.
        allocation: name of the rule, see :mod:`supsup.task_free.allocation`.
        every, confirm, budget: see :class:`Learner`.
    """

    visits: int = 1
    least: int = 200
    most: int = 400
    allocation: str = "level"
    every: int = 100
    confirm: int | None = None
    budget: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningReport:
    """What came of a stream: the masks of the archive, and what the learner counted."""

    masks: tuple[StoredTask, ...]
    counts: Report

    def rows(self) -> list[dict[str, Any]]:
        """For each mask how sure it is of its data, its size, and the tasks it was given."""
        return [
            {
                "name": stored.name,
                "level": metadata.metrics.get("level"),
                "steps": metadata.metrics.get("steps"),
                "bytes": stored.bytes,
                "sources": [
                    {"task": each.name, "batches": each.batches} for each in metadata.sources or ()
                ],
            }
            for stored in self.masks
            for metadata in [TaskMetadata.of(stored)]
        ]

    def to_json(self) -> dict[str, Any]:
        """The document of ``learn --json``."""
        return {"masks": self.rows(), **self.counts.to_json()}


def learn_family(
    path: str | PathLike[str],
    family: str,
    tasks: int | None,
    network: BackboneRecipe,
    config: TrainConfig,
    stream: StreamConfig,
    *,
    task_options: Options | None = None,
    device: str = "cpu",
    data_dir: str | PathLike[str] | None = None,
    size: int | None = None,
    trusted_net: str | None = None,
    codec: str = "auto",
    embed: bool = False,
    resume: bool = False,
    quiet: bool = False,
    on_mask: Callable[[StoredTask, Report], None] = lambda stored, counts: None,
) -> LearningReport:
    """Learn from a stream of the first tasks of a family, into a new archive.

    What the learner knows beside the masks is in a folder beside the archive until the stream ends
    (:class:`LearnerCheckpoint`).

    Args:
        tasks: how many; None for all that there are.
        config: of each mask; its seed is that of tasks and stream, too.
        task_options, size: see :func:`supsup.tasks.load_family`.
        data_dir: folder of the data files; of a user's own images their path.
        trusted_net: a ``module:function`` that may be imported, if the network is just that.
        embed: see :func:`supsup.archives.open_or_create`.
        resume: go on where a run with these settings was stopped, if there is an archive.
        quiet: whether data are downloaded without a bar.
        on_mask: told of each mask that is kept, and of what was counted by then.

    Raises:
        ArchiveExists: there is a file already, and ``resume`` is off.
        InvalidInput: a setting; or what is to be gone on with is of other settings, or damaged.
        TrainingDiverged, ArchiveWriteError: the masks kept so far stay.
    """
    path = Path(path)
    parse_codec(codec)
    if path.exists() and not resume:
        raise ArchiveExists(
            f"{path}: there is a file already; go on with --resume, or choose another path"
        )
    place, rule = parse_device(device), parse_allocation(stream.allocation)
    recipes, images = load_family(
        family,
        tasks,
        seed=config.seed,
        options=task_options,
        data=data_dir,
        size=size,
        quiet=quiet,
    )
    check_classes(recipes, network.outputs)
    if recipes[0].own is not None and not path.exists():
        network = fitted_to(network, recipes[0].own)
    made = [make_task(recipe, images.to(place)) for recipe in recipes]
    backbone = build_for(path, network, allow_code=network.net == trusted_net)
    learner = Learner(
        backbone.to(place),
        config,
        classes=max(task.classes for task in made),
        allocation=rule,
        every=stream.every,
        confirm=stream.confirm,
        budget=stream.budget,
    )
    route = {
        "visits": stream.visits,
        "least": stream.least,
        "most": stream.most,
        "seed": config.seed,
    }
    batches = task_stream(made, batch=config.batch, **route)
    checkpoint = LearnerCheckpoint(
        path,
        {
            "tasks": [each.to_json() for each in recipes],
            "stream": route,
            "allocation": {
                "rule": stream.allocation,
                "every": stream.every,
                "confirm": rule.confirm if stream.confirm is None else stream.confirm,
                # Not said where it is 1, as before there was another.
                **({"least": rule.least} if rule.least > 1 else {}),
            },
            "budget": stream.budget,
            "training": config.to_json(),
        },
    )
    going_on = resume and path.exists()
    make = open_or_create if resume else create_archive
    opened = make(path, backbone, embed=embed)
    # After an interrupt or a full disk the checkpoint beside it goes on where learning stopped.
    stays = (KeyboardInterrupt, OSError)
    with opened if going_on else gone_if_empty(opened, unless=stays) as archive:
        if not going_on:
            checkpoint.remove()  # that of an archive which is no more
        for stored in learn_into(archive, learner, batches, codec=codec, checkpoint=checkpoint):
            on_mask(stored, learner.report)
        return LearningReport(masks=tuple(archive), counts=learner.report)
