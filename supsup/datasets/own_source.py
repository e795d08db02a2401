"""What is kept of a user's own images, so that the same ones are known again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from supsup.datasets.catalog import Source

PREFIX = "folder:"
"""Before the name of a user's data set in recipes, which thus has none of a known one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnSource(Source):
    """Images in class folders, a zip of these, or arrays: a source that is in no catalogue.

    Attributes:
        height, width: of an image.
        train_size, test_size: numbers of images.
        train, test: digest (sha256, hex, 128 bits) of the files with their names and classes, or of
            the arrays.
    """

    height: int
    width: int
    train_size: int
    test_size: int
    train: str
    test: str

    def difference(self, other: "OwnSource") -> str | None:
        """What other data differ in, the kept ones first; None where they are the same."""
        for what, mine, its in (
            ("classes", self.classes, other.classes),
            ("channels", self.channels, other.channels),
            ("pixels", f"{self.width}×{self.height}", f"{other.width}×{other.height}"),
            ("training images", self.train_size, other.train_size),
            ("test images", self.test_size, other.test_size),
        ):
            if mine != its:
                return f"{what}: {mine} and {its}"
        for part, here, there in (
            ("training", self.train, other.train),
            ("test", self.test, other.test),
        ):
            if here != there:
                return f"{part} images or their names: digests {here[:8]}… and {there[:8]}…"
        return None

    @property
    def channels(self) -> int:
        """1 of grey images, 3 of those in colour."""
        return len(self.mean) if isinstance(self.mean, tuple) else 1

    def to_json(self) -> dict[str, Any]:
        """As JSON; the name is the recipe's."""
        levels = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (("mean", self.mean), ("std", self.std))
        }
        return {key: getattr(self, key) for key in (*_WHOLE, *_DIGESTS)} | levels

    @classmethod
    def from_json(cls, name: str, value: object) -> "OwnSource":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        keys = {*_WHOLE, *_DIGESTS, "mean", "std"}
        if not isinstance(value, Mapping) or value.keys() != keys:
            raise InvalidInput(f"task recipe: own data: expected {', '.join(sorted(keys))}")
        whole = {
            key: parse_whole(f"task recipe: own data: {key}", value[key], most=most)
            for key, most in _WHOLE.items()
        }
        for key in _DIGESTS:
            if not isinstance(value[key], str):
                raise InvalidInput(f"task recipe: own data: {key} is no digest")
        mean, std = _levels(value["mean"], "mean"), _levels(value["std"], "std")
        if isinstance(mean, tuple) != isinstance(std, tuple):
            raise InvalidInput("task recipe: own data: mean and std differ in their channels")
        return cls(
            name=name,
            family=name.removeprefix(PREFIX),
            classes=whole["classes"],
            side=min(whole["height"], whole["width"]),
            mean=mean,
            std=std,
            height=whole["height"],
            width=whole["width"],
            train_size=whole["train_size"],
            test_size=whole["test_size"],
            train=value["train"],
            test=value["test"],
        )


_WHOLE = {
    "classes": 2**20,
    "height": 2**13,
    "width": 2**13,
    "train_size": 2**40,
    "test_size": 2**40,
}
"""Numbers, and the most that one may be: a recipe may come from anybody's file."""
_DIGESTS = ("train", "test")


def _levels(value: object, what: str) -> float | tuple[float, ...]:
    def is_level(each: object) -> bool:
        return isinstance(each, int | float) and 0 <= each <= 1 and (what == "mean" or each > 0)

    if isinstance(value, list) and len(value) == 3 and all(map(is_level, value)):
        return tuple(float(each) for each in value)
    if is_level(value) and isinstance(value, int | float):
        return float(value)
    raise InvalidInput(f"task recipe: own data: {what}: expected one level or three, got {value!r}")
