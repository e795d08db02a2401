"""Registry: the one table of a family's members by name; and what is said of a name it lacks."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import takewhile
from typing import Generic, TypeVar

from maskstore.errors import InvalidInput

T = TypeVar("T")

_COMPARED = 300
"""Names that are compared letter by letter; of more, those that begin most like the one typed."""


class Registry(Mapping[str, T], Generic[T]):
    """A family's members by name: those that ship here, and those that are registered later.

    Whatever takes a member by its name looks here and nowhere else.

    >>> colours = Registry("colour", {"red": "#f00"})
    >>> colours.register("blue", "#00f")
    >>> list(colours)
    ['red', 'blue']

    Args:
        family: what a member is called in errors.
        members: what ships here, in the order in which they are listed.
    """

    def __init__(self, family: str, members: Mapping[str, T]) -> None:
        self._family = family
        self._members = dict(members)

    def register(self, name: str, member: T) -> None:
        """Add a member for the rest of the process.

        Raises:
            InvalidInput: an empty name, or one that is taken.
        """
        if not name:
            raise InvalidInput(f"{self._family}: expected a name, got {name!r}")
        if name in self._members:
            raise InvalidInput(
                f"{self._family} {name!r}: there is one of that name already; choose another name"
            )
        self._members[name] = member

    def __getitem__(self, name: str) -> T:
        """The member; raises KeyError."""
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a member of that name; of what is no name, there is none."""
        return isinstance(name, str) and name in self._members

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which they came."""
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<{self._family}: {', '.join(self)}>"


def registry_of(family: str, members: Iterable[T], key: str = "name") -> Registry[T]:
    """A registry of members that carry their own names."""
    return Registry(family, {getattr(member, key): member for member in members})


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of an error on an unknown name: the known one that is nearly it, if there is one.

    Of a hundred thousand names the answer takes a fraction of a second.

    >>> did_you_mean("split-mnst", ["split-mnist", "rotated-mnist"])
    "; did you mean 'split-mnist'?"
    >>> did_you_mean("cats", ["split-mnist"]), did_you_mean(None, ["None"])
    ('', '')
    """
    if not isinstance(name, str):
        return ""
    typed = name.casefold()
    names = list(known)
    if len(names) > _COMPARED:
        names = heapq.nlargest(_COMPARED, names, key=lambda each: _shared_start(typed, each))
    folded = {each.casefold(): each for each in reversed(names)}
    found = get_close_matches(typed, folded, n=1, cutoff=0.65)
    return f"; did you mean {folded[found[0]]!r}?" if found else ""


def _shared_start(typed: str, name: str) -> int:
    """Characters at the beginning that are the same."""
    pairs = zip(typed, name.casefold(), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def check_one_of(what: str, value: object, known: Collection[str]) -> None:
    """Raise InvalidInput, naming what it is, unless the value is a known name.

    >>> check_one_of("method", "one-shoot", ["one-shot"])
    Traceback (most recent call last):
    maskstore.errors.InvalidInput: method: expected one of one-shot, got 'one-shoot'; did you mean 'one-shot'?
    """  # noqa: E501
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(
            f"{what}: expected one of {', '.join(known)}, got {value!r}{did_you_mean(value, known)}"
        )
