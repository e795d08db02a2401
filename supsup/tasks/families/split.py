"""Split: each task has a few of the classes (SplitMNIST: five two-way tasks)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup.choices import LabelsName
from supsup.tasks.families.base import Options, TaskRule
from supsup.tasks.pixel_map import PixelMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Split(TaskRule):
    """Task i holds classes ``ways·i … ways·(i+1)-1``, labelled 0 … ways-1 (lecture notes, 6.1).

    With ``labels`` ``original`` they keep the data set's labels and all of its classes compete, as
    in the paper's code for SplitMNIST with Hopfield recovery (``data/partitionmnistv2.py``).

    Attributes:
        ways: classes in a task, unless the option says otherwise.
        dealt: whether the classes are first permuted by the stream ``split/classes`` of the seed
            (SplitCIFAR100 and SplitImageNet; lecture notes, 5.1.2).
    """

    choices = MappingProxyType({"labels": get_args(LabelsName)})
    ways: int = 2
    dealt: bool = False

    @property
    def defaults(self) -> Mapping[str, int]:
        """``ways``: classes in a task."""
        return {"ways": self.ways}

    def count(self, classes: int, options: Options) -> int | None:
        """As many as the classes fill."""
        ways = options["ways"]
        if ways < 2 or classes % ways:
            raise InvalidInput(
                f"task rule 'split': {classes} classes cannot be split into tasks of {ways}; "
                "option 'ways' must be at least 2 and divide the number of classes"
            )
        return classes // ways

    def classes(self, index: int, seed: int, classes: int, options: Options) -> Sequence[int]:
        """``ways`` consecutive ones, of the permuted classes if they are dealt."""
        where = slice(options["ways"] * index, options["ways"] * (index + 1))
        if self.dealt:
            order: Sequence[int] = seeded.permutation(seed, "split/classes", classes).tolist()
        else:
            order = range(classes)
        return order[where]

    def pixels(
        self, index: int, seed: int, height: int, width: int, options: Options
    ) -> PixelMap | None:
        """Images stay as they are."""
        return None
