"""TaskMetadata: what training keeps with a mask, beside its bits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskstore.errors import InvalidInput
from maskstore.packed import StoredTask
from maskstore.seeded.scores import ScoreStart
from supsup.inference.ood import EnergyThreshold
from supsup.networks.answer import Answer
from supsup.tasks.fingerprint import Fingerprint

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A task that gave a mask batches (:mod:`supsup.task_free`).

    Attributes:
        task: JSON of its recipe; None where nothing remakes its data.
        batches: how many.
    """

    name: str
    task: Json | None
    batches: int

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "task": self.task, "batches": self.batches}

    @classmethod
    def from_json(cls, value: object) -> "Source | None":
        """The inverse of :meth:`to_json`; None for anything else."""
        if not isinstance(value, Mapping):
            return None
        name, batches = value.get("name"), _whole(value.get("batches"))
        if not isinstance(name, str) or batches is None:
            return None
        return cls(name=name, task=_object(value.get("task")), batches=batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMetadata:
    """What an archive keeps with a mask that was trained here.

    An archive takes any JSON with a mask, and older releases wrote fewer keys. So whatever is not
    there, or is not what training writes, is None: nothing is known about it.

    Attributes:
        task: JSON of the recipe that remakes the data; None where nothing does.
        training: JSON of the :class:`supsup.TrainConfig`, perhaps of another release.
        scores: where the scores started.
        energy: that of training images of the task which training did not see; None where there
            are too few (:data:`supsup.training.batches.HELD_OUT_SHARE`).
        earlier: with transfer, how many tasks the mean is of that the scores started from.
        drawn_from: of how many other tasks outliers were drawn; None where they were not.
        rows: how many tasks shared each step; None for a task alone. Its key is ``together``.
        metrics: of :class:`supsup.TrainedMask`, or ``level`` and ``steps`` of
            :class:`supsup.task_free.LearnedMask`.
        sources: in scenario NNs the tasks whose batches it was given, the most first.
        classes: how many there are: the first outputs stand for them.
        class_names: what they are called, where the recipe does not tell. They are kept in the
            place of their number.
        data: fingerprint of data that nothing remakes.
        answer: what a user's network said under the mask to made-up inputs.
    """

    task: Json | None = None
    training: Json | None = None
    scores: ScoreStart | None = None
    energy: EnergyThreshold | None = None
    earlier: int | None = None
    drawn_from: int | None = None
    rows: int | None = None
    metrics: Json = field(default_factory=dict)
    sources: tuple[Source, ...] | None = None
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    data: Fingerprint | None = None
    answer: Answer | None = None

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the task's test set, as training measured it."""
        found = self.metrics.get("accuracy")
        return found if type(found) in (int, float) else None

    def to_json(self) -> dict[str, Any]:
        """What :meth:`maskstore.MaskArchive.add` is given; what is not known is left out, but for
        the recipe."""
        energy, sources = self.energy, self.sources
        written = {
            "training": self.training,
            "scores": None if self.scores is None else self.scores.to_json(),
            "energy": None if energy is None else energy.to_json(),
            "earlier": self.earlier,
            "drawn_from": self.drawn_from,
            "together": self.rows,
            "metrics": dict(self.metrics) or None,
            "sources": None if sources is None else [each.to_json() for each in sources],
            "classes": self.classes if self.class_names is None else list(self.class_names),
            "data": None if self.data is None else self.data.to_json(),
            "answer": None if self.answer is None else self.answer.to_json(),
        }
        return {"task": self.task} | {k: v for k, v in written.items() if v is not None}

    @classmethod
    def of(cls, stored: StoredTask) -> "TaskMetadata":
        """That of a mask in an archive."""
        return cls.from_json(stored.metadata)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TaskMetadata":
        """The inverse of :meth:`to_json`; takes any JSON object."""
        count, names = _classes(value.get("classes"))
        return cls(
            task=_object(value.get("task")),
            training=_object(value.get("training")),
            scores=_start(value.get("scores")),
            energy=EnergyThreshold.from_json(value.get("energy")),
            earlier=_whole(value.get("earlier")),
            drawn_from=_whole(value.get("drawn_from")),
            rows=_whole(value.get("together")),
            metrics=_object(value.get("metrics")) or {},
            sources=_sources(value.get("sources")),
            classes=count,
            class_names=names,
            data=Fingerprint.from_json(value.get("data")),
            answer=Answer.from_json(value.get("answer")),
        )


def with_metrics(metadata: Json, metrics: Mapping[str, float]) -> Json:
    """The metadata of a :class:`supsup.TrainedMask` with its metrics, as an archive keeps it."""
    return metadata | {"metrics": dict(metrics)}


def _object(value: object) -> Json | None:
    return value if isinstance(value, dict) else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _classes(value: object) -> tuple[int | None, tuple[str, ...] | None]:
    """Number and names."""
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        return len(value), tuple(value)
    return _whole(value) or None, None


def _start(value: object) -> ScoreStart | None:
    try:
        return ScoreStart.from_json(value)
    except InvalidInput:
        return None


def _sources(value: object) -> tuple[Source, ...] | None:
    if not isinstance(value, list | tuple):
        return None
    found = [Source.from_json(each) for each in value]
    known = tuple(each for each in found if each is not None)
    return known if len(known) == len(found) else None
