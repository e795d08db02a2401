"""TaskRule: how one data set becomes many tasks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from maskstore.registry import did_you_mean
from supsup.tasks.pixel_map import PixelMap


class TaskRule(ABC):
    """What task number ``index`` of a data set is: which classes, and where its pixels go.

    Rules have no state: all they need comes from the task's recipe, so a recipe remakes its task.
    ``options`` below are always complete, as :meth:`parse_options` returns them.
    """

    @property
    @abstractmethod
    def defaults(self) -> Mapping[str, int]:
        """Every option of the rule with its default."""

    @abstractmethod
    def count(self, classes: int, options: Mapping[str, int]) -> int | None:
        """How many tasks a data set of so many classes yields; None for no limit.

        Raises:
            InvalidInput: the options do not fit the number of classes.
        """

    @abstractmethod
    def classes(
        self, index: int, seed: int, classes: int, options: Mapping[str, int]
    ) -> Sequence[int]:
        """The data set's classes that belong to the task; the first becomes label 0."""

    @abstractmethod
    def pixels(
        self, index: int, seed: int, height: int, width: int, options: Mapping[str, int]
    ) -> PixelMap | None:
        """Where the task's pixels come from; None where images stay as they are."""

    def parse_options(self, rule: str, options: object) -> dict[str, int]:
        """The options with defaults filled in.

        Raises:
            InvalidInput: not a mapping, an unknown option, or a value that is not a positive int.
        """
        if not isinstance(options, Mapping):
            raise InvalidInput(f"task rule {rule!r}: expected options as a mapping")
        for name in options:
            if name not in self.defaults:
                known = ", ".join(self.defaults) or "none"
                raise InvalidInput(
                    f"task rule {rule!r}: unknown option {name!r}; known: {known}"
                    + did_you_mean(name, self.defaults)
                )
        given = {
            name: parse_whole(
                f"task rule {rule!r}: option {name!r}", value, expected="a positive whole number"
            )
            for name, value in options.items()
        }
        return {**self.defaults, **given}
