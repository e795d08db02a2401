"""Permuted: each task has its own fixed permutation of the pixels (PermutedMNIST)."""

from collections.abc import Mapping, Sequence

from maskstore.seeded import streams as seeded
from supsup.tasks.families.base import Options, TaskRule
from supsup.tasks.pixel_map import PixelMap, permute


class Permuted(TaskRule):
    """Task i, the first included, permutes the pixels by the stream ``permuted/i`` of its seed.

    All classes belong to every task (Kirkpatrick et al., 2016; lecture notes, 5.2.3).
    """

    @property
    def defaults(self) -> Mapping[str, int]:
        """There are no options."""
        return {}

    def count(self, classes: int, options: Options) -> int | None:
        """No limit."""
        return None

    def classes(self, index: int, seed: int, classes: int, options: Options) -> Sequence[int]:
        """All."""
        return range(classes)

    def pixels(
        self, index: int, seed: int, height: int, width: int, options: Options
    ) -> PixelMap | None:
        """The task's permutation."""
        return permute(seeded.permutation(seed, f"permuted/{index}", height * width))
