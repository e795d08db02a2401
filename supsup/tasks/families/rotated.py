"""Rotated: each task turns the images a step further (RotatedMNIST: 36 tasks of 10°)."""

from collections.abc import Mapping, Sequence

from maskstore.errors import InvalidInput
from supsup.tasks.families.base import TaskRule
from supsup.tasks.pixel_map import PixelMap, rotate


class Rotated(TaskRule):
    """Task i shows the images turned counter-clockwise by ``degrees·i`` (lecture notes, 5.2.3)."""

    @property
    def defaults(self) -> Mapping[str, int]:
        """``degrees``: the angle between one task and the next."""
        return {"degrees": 10}

    def count(self, classes: int, options: Mapping[str, int]) -> int | None:
        """One full turn."""
        if 360 % options["degrees"]:
            raise InvalidInput(
                f"task rule 'rotated': option 'degrees' must divide 360, got {options['degrees']}"
            )
        return 360 // options["degrees"]

    def classes(
        self, index: int, seed: int, classes: int, options: Mapping[str, int]
    ) -> Sequence[int]:
        """All."""
        return range(classes)

    def pixels(
        self, index: int, seed: int, height: int, width: int, options: Mapping[str, int]
    ) -> PixelMap | None:
        """The task's rotation."""
        return rotate(index * options["degrees"], height, width)
