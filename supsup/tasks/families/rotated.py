"""Rotated: each task turns the images a step further (RotatedMNIST: 36 tasks of 10°)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import get_args

from maskstore.errors import InvalidInput
from supsup.choices import SamplingName
from supsup.tasks.families.base import Options, TaskRule
from supsup.tasks.pixel_map import PixelMap, rotate, rotate_nearest


class Rotated(TaskRule):
    """Task i shows the images turned counter-clockwise by ``degrees·i`` (lecture notes, 5.2.3).

    Pixels between pixels are ``bilinear``, or those of the ``nearest`` one, as in the paper's code
    (``data/rotatingmnist.py``).
    """

    choices = MappingProxyType({"sampling": get_args(SamplingName)})

    @property
    def defaults(self) -> Mapping[str, int]:
        """``degrees``: the angle between one task and the next."""
        return {"degrees": 10}

    def count(self, classes: int, options: Options) -> int | None:
        """One full turn."""
        if 360 % options["degrees"]:
            raise InvalidInput(
                f"task rule 'rotated': option 'degrees' must divide 360, got {options['degrees']}"
            )
        return 360 // options["degrees"]

    def classes(self, index: int, seed: int, classes: int, options: Options) -> Sequence[int]:
        """All."""
        return range(classes)

    def pixels(
        self, index: int, seed: int, height: int, width: int, options: Options
    ) -> PixelMap | None:
        """The task's rotation."""
        by = rotate_nearest if options.get("sampling") == "nearest" else rotate
        return by(index * options["degrees"], height, width)
