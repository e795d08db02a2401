"""The values that were made last, kept within a bound."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """A cache that threads share; what was not asked for longest goes first."""

    def __init__(self, most_bytes: int, bytes_of: Callable[[Value], int]) -> None:
        """Start with nothing; the value asked for last is kept whatever its size."""
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()
        self._most_bytes, self._bytes_of = most_bytes, bytes_of
        self._bytes = 0
        self.has_let_go = False
        """Whether there was too little room for all that was asked for."""

    def __contains__(self, key: object) -> bool:
        """Whether a value is kept."""
        return key in self._kept

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # Not under the lock: making one may take long, or ask for another.
        made = make()
        with self._lock:
            if key not in self._kept:  # else another thread was faster
                self._kept[key] = made
                self._bytes += self._bytes_of(made)
            while self._bytes > self._most_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= self._bytes_of(oldest)
                self.has_let_go = True
        return made
