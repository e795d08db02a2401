"""TaskRule: how one data set becomes many tasks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from maskstore.registry import check_one_of, did_you_mean
from supsup.tasks.pixel_map import PixelMap

Options: TypeAlias = Mapping[str, Any]
"""Whole numbers, and names of choices, by the name of the option."""


class TaskRule(ABC):
    """What task number ``index`` of a data set is: which classes, and where its pixels go.

    Rules have no state: all they need comes from the task's recipe, so a recipe remakes its task.
    ``options`` below are as :meth:`parse_options` returns them: every number is there, and of the
    choices those that are not the first.

    Attributes:
        choices: options that are one of some names, the first by default. A recipe leaves out what
            is the default, so that recipes written before there was a choice stay as they are.
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    @property
    @abstractmethod
    def defaults(self) -> Mapping[str, int]:
        """Every option that is a whole number, with its default."""

    @abstractmethod
    def count(self, classes: int, options: Options) -> int | None:
        """How many tasks a data set of so many classes yields; None for no limit.

        Raises:
            InvalidInput: the options do not fit the number of classes.
        """

    @abstractmethod
    def classes(self, index: int, seed: int, classes: int, options: Options) -> Sequence[int]:
        """The data set's classes that belong to the task; the first becomes label 0."""

    @abstractmethod
    def pixels(
        self, index: int, seed: int, height: int, width: int, options: Options
    ) -> PixelMap | None:
        """Where the task's pixels come from; None where images stay as they are."""

    def parse_options(self, rule: str, options: object) -> dict[str, Any]:
        """The options with the defaults of numbers filled in, and those of choices left out.

        Raises:
            InvalidInput: not a mapping, an unknown option, or a value that is not a positive int
                or no such choice.
        """
        if not isinstance(options, Mapping):
            raise InvalidInput(f"task rule {rule!r}: expected options as a mapping")
        for name in options:
            known = (*self.defaults, *self.choices)
            if name not in known:
                raise InvalidInput(
                    f"task rule {rule!r}: unknown option {name!r}; known: "
                    + (", ".join(known) or "none")
                    + did_you_mean(name, known)
                )
        given = {
            name: parse_whole(
                f"task rule {rule!r}: option {name!r}", value, expected="a positive whole number"
            )
            for name, value in options.items()
            if name in self.defaults
        }
        chosen = {name: options[name] for name in self.choices if name in options}
        for name, value in chosen.items():
            check_one_of(f"task rule {rule!r}: option {name!r}", value, self.choices[name])
        chosen = {name: value for name, value in chosen.items() if value != self.choices[name][0]}
        return {**self.defaults, **given, **chosen}
