"""Registry: the one table of a family's members by name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from maskstore.errors import InvalidInput

T = TypeVar("T")


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
