"""TaskRecipe: the few values that remake a task, and families of them by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from maskstore.registry import did_you_mean
from maskstore.seeded import streams as seeded
from maskstore.storage.metadata import parse_name
from supsup.datasets.catalog import SOURCES, Source, family_of, find_source
from supsup.datasets.own_source import PREFIX, OwnSource
from supsup.tasks.families import RULES, TaskRule, rules_of
from supsup.tasks.families.base import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecipe:
    """Everything that decides a task, apart from the images themselves.

    Attributes:
        dataset: name of the data set, as :func:`supsup.datasets.load` or its maker calls it.
        rule: ``split``, ``permuted`` or ``rotated``; see :mod:`supsup.tasks.families`.
        index: number of the task in its family, from 0.
        seed: seed of what the rule draws.
        own: what is known of a user's own images, whose data set is called ``folder:NAME``.
        prefix: the task is called ``PREFIX/index``; None for the family's name before it. Says
            nothing of the data: it is no part of the JSON, and recipes that differ in it are equal.
        options: the rule's options as :meth:`TaskRule.parse_options` completes them. Copied and
            treated as read-only.

    Raises:
        InvalidInput: an empty data set name, an unknown rule or option, a value out of range, or a
            prefix that makes no name of a task.

    >>> recipe = TaskRecipe(dataset="mnist-sample", rule="rotated", index=3)
    >>> recipe.name, recipe.options["degrees"], recipe.class_count
    ('rotated-mnist/3', 10, 10)
    """

    dataset: str
    rule: str
    index: int
    seed: int = 0
    options: Options = field(default_factory=dict)
    own: OwnSource | None = None
    prefix: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, str) or not self.dataset:
            raise InvalidInput(
                f"task recipe: expected the name of a data set, got {self.dataset!r}"
            )
        if not isinstance(self.rule, str):
            raise InvalidInput(f"task recipe: expected the name of a task rule, got {self.rule!r}")
        options = self.task_rule.parse_options(self.rule, self.options)
        object.__setattr__(self, "options", options)
        expected = "an index of at least 0, a whole number"
        index = parse_whole("task recipe", self.index, least=0, expected=expected)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "seed", seeded.parse_seed(self.seed))
        if self.own is not None and not self.dataset.startswith(PREFIX):
            raise InvalidInput(
                f"task recipe: own data of the name {self.dataset!r}, expected {PREFIX}…"
            )
        if self.prefix is not None:
            if not isinstance(self.prefix, str) or not self.prefix:
                raise InvalidInput(f"names of tasks: expected a PREFIX, got {self.prefix!r}")
            parse_name(self.name)
        if (source := self.source) is not None:
            self.check_count(source.classes)

    def __hash__(self) -> int:
        return hash((self.dataset, self.rule, self.index, self.seed, *self.options.items()))

    @property
    def name(self) -> str:
        """Of the mask: ``PREFIX/0`` where there is a prefix, else :attr:`name_in_family`."""
        return self.name_in_family if self.prefix is None else f"{self.prefix}/{self.index}"

    @property
    def name_in_family(self) -> str:
        """Such as ``split-mnist/0``; a sample's tasks are called like those of the whole set."""
        return f"{self.rule}-{self.family}/{self.index}"

    @property
    def family_name(self) -> str:
        """The family as the command line names it: ``split-mnist-sample``, or ``split-folder``."""
        return f"{self.rule}-{self.dataset if self.own is None else 'folder'}"

    @property
    def family(self) -> str:
        """The data set within names of tasks."""
        return family_of(self.dataset) if self.own is None else self.own.family

    @property
    def source(self) -> Source | None:
        """What is known of the data set; None of one that somebody made in Python."""
        return SOURCES[self.dataset] if self.own is None and self.dataset in SOURCES else self.own

    @property
    def task_rule(self) -> TaskRule:
        """How the task is made; raises InvalidInput where the data set has no such rule."""
        known = rules_of(self.dataset)
        if self.rule not in known:
            raise InvalidInput(
                f"task rule {self.rule!r}: not one for data set {self.dataset!r}; "
                f"known: {', '.join(known)}{did_you_mean(self.rule, known)}"
            )
        return known[self.rule]

    @property
    def keeps_labels(self) -> bool:
        """Whether labels are those of the data set, of which all classes compete; otherwise the
        task's classes are 0, 1, …"""
        return bool(self.options.get("labels") == "original")

    @property
    def class_count(self) -> int:
        """Number of classes of the task, of a data set known by name.

        Raises:
            InvalidInput: the data set is not one of the known ones.
        """
        source = self.source or find_source(self.dataset)
        return len(self.label_map(source.classes))

    def label_map(self, classes: int) -> Sequence[int]:
        """Which class of a data set, of so many, each label of the task stands for."""
        if self.keeps_labels:
            return range(classes)
        return self.task_rule.classes(self.index, self.seed, classes, self.options)

    def check_count(self, classes: int) -> None:
        """Raise InvalidInput where a data set of so many classes has no such task."""
        count = self.task_rule.count(classes, self.options)
        if count is not None and self.index >= count:
            raise InvalidInput(
                f"task {self.name!r}: expected an index from 0 to {count - 1}, "
                f"{self.dataset!r} has {count} such tasks"
            )

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON."""
        return {
            "dataset": self.dataset,
            "rule": self.rule,
            "index": self.index,
            "seed": self.seed,
            "options": dict(self.options),
        } | ({} if self.own is None else {"own": self.own.to_json()})

    @classmethod
    def from_json(cls, value: Any) -> "TaskRecipe":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        keys = set(cls.__dataclass_fields__) - {"prefix"}
        if not isinstance(value, Mapping):
            raise InvalidInput(f"task recipe: expected a JSON object, got {type(value).__name__}")
        if unknown := [key for key in value if key not in keys]:
            raise InvalidInput(
                f"task recipe: unknown key {unknown[0]!r}, expected {', '.join(sorted(keys))}; "
                "it may come from a newer release"
            )
        if missing := sorted(keys - set(value) - {"own"}):
            raise InvalidInput(f"task recipe: key {missing[0]!r} is missing")
        if "own" not in value:
            return cls(**value)
        return cls(**{**value, "own": OwnSource.from_json(str(value["dataset"]), value["own"])})


def family_names() -> list[str]:
    """Every name that :func:`task_family` knows, such as ``split-mnist``."""
    return [f"{rule}-{name}" for rule in RULES for name in SOURCES if rule in rules_of(name)]


def task_family(
    name: str,
    n: int | None = None,
    seed: int = 0,
    options: Options | None = None,
    prefix: str | None = None,
) -> list[TaskRecipe]:
    """Recipes of the first ``n`` tasks of a family, all with the same seed and options.

    Args:
        name: rule and data set, such as ``permuted-mnist`` or ``split-mnist-sample``.
        n: how many; None for all, where the family ends.
        prefix: tasks are called ``PREFIX/0``, ``PREFIX/1``, …; None for the family's names.

    Raises:
        InvalidInput: an unknown family, fewer than one task or more than there are, or no ``n``
            for a family without an end.

    >>> [recipe.name for recipe in task_family("split-mnist-sample", 2)]
    ['split-mnist/0', 'split-mnist/1']
    """
    if not isinstance(name, str):
        raise InvalidInput(f"task family: expected a name such as split-mnist, got {name!r:.80}")
    rule, _, dataset = name.partition("-")
    if is_own(name):
        raise InvalidInput(f"{name}: of your own images, which are read first: `train --data PATH`")
    if dataset not in SOURCES or rule not in rules_of(dataset):
        known = family_names()
        raise InvalidInput(
            f"unknown task family {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}"
        )
    classes = SOURCES[dataset].classes
    return _first(name, n, seed, rule, dataset, options or {}, classes, prefix=prefix)


def is_own(family: str) -> bool:
    """Whether a family is of a user's own images: ``split-folder`` and the like."""
    rule, _, dataset = family.partition("-")
    return dataset == "folder" and rule in RULES


def own_family(
    name: str,
    source: OwnSource,
    n: int | None = None,
    seed: int = 0,
    options: Options | None = None,
    prefix: str | None = None,
) -> list[TaskRecipe]:
    """:func:`task_family` of ``split-folder``, ``permuted-folder`` or ``rotated-folder``.

    Args:
        source: of the images (:func:`supsup.datasets.own_data.read_own`).
    """
    rule = name.partition("-")[0]
    classes = source.classes
    return _first(
        name, n, seed, rule, source.name, options or {}, classes, own=source, prefix=prefix
    )


def _first(
    name: str,
    n: int | None,
    seed: int,
    rule: str,
    dataset: str,
    options: Options,
    classes: int,
    *,
    own: OwnSource | None = None,
    prefix: str | None = None,
) -> list[TaskRecipe]:
    made_by = rules_of(dataset)[rule]
    full = made_by.parse_options(rule, options)
    count = made_by.count(classes, full)
    if n is None:
        if count is None:
            raise InvalidInput(f"{name}: has no last task; say how many tasks are wanted")
        n = count
    if n < 1 or (count is not None and n > count):
        limit = f"1 to {count}" if count is not None else "at least 1"
        raise InvalidInput(f"{name}: expected {limit} tasks, got {n}")
    return [
        TaskRecipe(
            dataset=dataset,
            rule=rule,
            index=index,
            seed=seed,
            options=full,
            own=own,
            prefix=prefix,
        )
        for index in range(n)
    ]
