"""Split: consecutive classes form a task (SplitMNIST: five two-way tasks)."""

from collections.abc import Mapping

from maskstore.errors import InvalidInput
from supsup.data.pixels import PixelMap
from supsup.data.rules.base import TaskRule


class Split(TaskRule):
    """Task i holds classes ``ways·i … ways·(i+1)-1``, labelled 0 … ways-1 (lecture notes, 6.1)."""

    @property
    def defaults(self) -> Mapping[str, int]:
        """``ways``: classes in a task."""
        return {"ways": 2}

    def count(self, classes: int, options: Mapping[str, int]) -> int | None:
        """As many as the classes fill."""
        ways = options["ways"]
        if ways < 2 or classes % ways:
            raise InvalidInput(
                f"task rule 'split': {classes} classes cannot be split into tasks of {ways}; "
                "option 'ways' must be at least 2 and divide the number of classes"
            )
        return classes // ways

    def classes(self, index: int, classes: int, options: Mapping[str, int]) -> range:
        """``ways`` consecutive ones."""
        return range(options["ways"] * index, options["ways"] * (index + 1))

    def pixels(
        self, index: int, seed: int, height: int, width: int, options: Mapping[str, int]
    ) -> PixelMap | None:
        """Images stay as they are."""
        return None
