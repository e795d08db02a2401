"""Transactions: whose turn it is to write, and a ``with`` block whose end cannot be missed.

Ctrl-C may come between any two instructions, also in the machinery that begins and ends a ``with``
block. So a transaction does not rely on its end being called: it is undone, and over, as soon as
nothing can end it any more.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Condition, get_ident
from typing import Any

from maskstore.errors import ArchiveError


class Turn:
    """A thread's turn to write.

    Attributes:
        thread: whose it is.
    """

    def __init__(self) -> None:
        self.thread = get_ident()


class Transacted(ABC):
    """What is changed in transactions; one thread at a time has its turn."""

    def __init__(self) -> None:
        self._turn: Turn | None = None
        self._next = Condition()

    def _take_turn(self, turn: Turn) -> Turn:
        """Wait until no other thread has its turn; returns this one, or the one that this thread
        has already."""
        with self._next:
            while self._turn is not None and self._turn.thread != turn.thread:
                self._next.wait()
            if self._turn is None:
                self._turn = turn
            return self._turn

    def _leave_turn(self, turn: Turn) -> None:
        """End a turn; nothing where it is over."""
        with self._next:
            if self._turn is turn:
                self._turn = None
                self._next.notify()

    @abstractmethod
    def _begin_turn(self, turn: Turn) -> None:
        """What only who has its turn may ask: whether there can be changes, and since when."""

    @abstractmethod
    def _end_turn(self, turn: Turn, *, keep: bool) -> None:
        """Make what was done in a turn durable, or undo it; then end it, whatever happens."""

    @abstractmethod
    def _mark(self, turn: Turn) -> Any:
        """How far a turn has come."""

    @abstractmethod
    def _return_to(self, turn: Turn, mark: Any) -> None:
        """Undo what was done in a turn since a mark."""


class _Exit:
    """``__exit__`` of a :class:`Transaction`: for each block a callable that only the block holds.

    It is looked up before the block begins, and dies with it, however that ends. An ordinary
    method's ``self`` would be held by the traceback of what interrupted it, and notebooks keep
    tracebacks.
    """

    def __get__(self, block: "Transaction | None", owner: type) -> Any:
        if block is None:  # contextlib.ExitStack asks the class
            return lambda block, *raised: _end(block.state, *raised)
        end = partial(_end, block.state)
        block.state.watched = weakref.ref(end, block.state.lost)
        return end


class _State:
    """What is known of a block; apart from it, so that its end does not hold it."""

    def __init__(self, owner: Transacted) -> None:
        self.owner = owner
        self.turn: Turn | None = None
        self.mark: Any = None
        self.watched: weakref.ref[Any] | None = None

    def lost(self, _: object) -> None:
        """Nothing can end the block any more."""
        turn, owner = self.turn, self.owner
        if turn is not None and owner._turn is turn:
            with suppress(ArchiveError):  # who writes next is told
                owner._end_turn(turn, keep=False)


class Transaction:
    """The block. One inside another of the same thread joins it; where that one raises, what it
    did itself is undone."""

    __exit__ = _Exit()

    def __init__(self, owner: Transacted, make: Callable[[], Turn]) -> None:
        """Begin nothing yet.

        Args:
            make: gives this thread's turn.
        """
        self.state = _State(owner)
        self._make = make

    def __enter__(self) -> Any:
        state = self.state
        if state.watched is None:
            state.watched = weakref.ref(self, state.lost)
        # Known before it is taken: an interrupt in between leaves no turn that nobody ends.
        state.turn = turn = self._make()
        if (had := state.owner._take_turn(turn)) is not turn:
            state.mark = state.owner._mark(had)
            return state.owner
        try:
            state.owner._begin_turn(turn)
        except BaseException:
            state.owner._leave_turn(turn)
            raise
        return state.owner


def _end(state: _State, kind: type[BaseException] | None, *_: object) -> None:
    owner, turn = state.owner, state.turn
    if owner._turn is turn and turn is not None:
        owner._end_turn(turn, keep=kind is None)
    elif kind is not None and owner._turn is not None:
        owner._return_to(owner._turn, state.mark)
