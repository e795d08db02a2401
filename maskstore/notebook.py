"""How an object is shown, in a terminal and in a notebook: what it is, its size, its members.

Nothing that is shown grows with what an object holds, and no array is printed: thousands of zeros
say less than a shape.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

_NAMED = 5


class Shown(ABC):
    """An object with a ``repr`` of one line: its type, and what it says of itself."""

    __slots__ = ()

    @abstractmethod
    def _shown(self) -> str:
        """Size and members, in a line."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown()}>"

    def _repr_html_(self) -> str:
        """What a notebook shows. Names of others are shown in it, not obeyed."""
        return html_line(repr(self))


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 task``, ``2 tasks``, ``1,000 tasks``.

    >>> counted(1, "task"), counted(1000, "task")
    ('1 task', '1,000 tasks')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def first_names(names: Sequence[str]) -> str:
    """The first names, and how many there are besides.

    >>> first_names(["a", "b"]), first_names([])
    ("'a', 'b'", 'none')
    >>> first_names([str(at) for at in range(2500)])
    "'0', '1', '2', '3', '4' and 2,495 more"
    """
    shown = ", ".join(map(repr, names[:_NAMED])) or "none"
    return shown + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def one_line(text: object) -> str:
    """Text of anybody's file as a page or a picture shows it; what is not printable is ``�``.

    >>> one_line("a\\u202eb\\n")
    'a�b�'
    """
    return "".join(each if each.isprintable() else "�" for each in str(text))


def html_line(text: str) -> str:
    """A paragraph in HTML; whatever stands in the text is shown, not obeyed.

    >>> html_line("<b>")
    '<p>&lt;b&gt;</p>'
    """
    from html import escape  # brings the 2,231 names of HTML's characters, for notebooks alone

    return f"<p>{escape(text)}</p>"


def html_table(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table in HTML; whatever text stands in it is shown, not obeyed.

    >>> html_table(["task"], [["<b>"]])
    '<table><thead><tr><th>task</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    from html import escape

    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(each))}</td>' for each in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
