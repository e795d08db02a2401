"""The entropy coder: symbols under integer probabilities, as one string of bytes.

The coder is the ANS of ``constriction``: a 64-bit state, 32-bit words, probabilities in units of
2**-24 (docs/codecs.md has the few lines that define it). What is ours are the probabilities. They
are whole numbers made by exact integer arithmetic, so a mask decodes on every machine.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

import constriction
import numpy as np
from jaxtyping import Int32, Integer, UInt8, UInt32

from maskstore.errors import CorruptArchive

Model: TypeAlias = constriction.stream.model.Categorical
"""The distribution of one symbol 0 … n-1."""

_TOTAL = 1 << 24

Bits: TypeAlias = UInt8[np.ndarray, " n"]


class Intervals(NamedTuple):
    """Where the intervals of symbols end, in units of 2**-24, by probability level from level 1.

    Attributes:
        octet: of each of the 256 symbols that stand for eight bits.
        clear: of a clear bit alone.
    """

    octet: UInt32[np.ndarray, "levels 256"]
    clear: UInt32[np.ndarray, " levels"]


def probabilities_of(weights: Sequence[int]) -> list[int]:
    """Probabilities as ``weights``, in units of 2**-24, each at least one.

    Symbol j gets ``1 + (2**24 - n) * weights[j] // sum(weights)``; what the divisions leave over
    goes to the first of the largest.
    """
    total, n = sum(weights), len(weights)
    shares = [1 + (_TOTAL - n) * weight // total for weight in weights]
    shares[shares.index(max(shares))] += _TOTAL - sum(shares)
    return shares


def model_of(weights: Sequence[int]) -> Model:
    """The model with :func:`probabilities_of` the weights."""
    # The library gives symbol j the probability floor(share * scale) + 1; with shares that add up
    # to 2**24 - n its scale is exactly 1.0, and the probabilities are those wanted.
    return Model(np.array(probabilities_of(weights), np.float64) - 1.0, perfect=False)


@cache
def uniform(n: int) -> Model:
    """All of 0 … n-1 alike."""
    return model_of([1] * n)


@cache
def geometric(spread: int, limit: int) -> Model:
    """Symbols 0 … 2·limit for the numbers -limit … limit, falling off as (spread / 16)**size."""
    sizes = [abs(number) for number in range(-limit, limit + 1)]
    return model_of([(spread**size << 64) >> (4 * size) for size in sizes])


SPREADS = range(1, 17)
"""Spreads that :func:`geometric` takes; 16 is the even distribution."""


class Encoder:
    """Collects symbols in the order in which they will be decoded."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._pieces: list[tuple[Int32[np.ndarray, " n"], Model]] = []

    def put(self, model: Model, symbols: Integer[np.ndarray, " n"] | Sequence[int]) -> None:
        """Append independent symbols of one model."""
        self._pieces.append((np.asarray(symbols, np.int32), model))

    def finish(self) -> bytes:
        """The code of everything: little-endian words, trailing zero bytes left out."""
        coder = constriction.stream.stack.AnsCoder()
        for symbols, model in reversed(self._pieces):
            if len(symbols):
                coder.encode_reverse(symbols, model)
        return bytes(coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0"))


class Decoder:
    """Gives the symbols back in order."""

    def __init__(self, code: bytes) -> None:
        """Start at the beginning of ``code``; raises CorruptArchive where it cannot be a code."""
        if code.endswith(b"\0"):
            raise CorruptArchive("entropy code: ends in a zero byte")
        words = np.frombuffer(code + bytes(-len(code) % 4), "<u4").astype(np.uint32)
        self._words: UInt32[np.ndarray, " words"] = words
        self._coder = constriction.stream.stack.AnsCoder(words)

    def take(self, model: Model, n: int) -> Int32[np.ndarray, " n"]:
        """The next ``n`` symbols. Any bytes decode to some symbols: see :meth:`finish`."""
        symbols: Int32[np.ndarray, " n"] = self._coder.decode(model, n)
        return symbols

    def take_one(self, model: Model) -> int:
        """The next symbol."""
        return int(self._coder.decode(model))

    def take_runs(self, runs: Sequence[tuple[int, int]], intervals: Intervals) -> Bits:
        """The next bits: for every (level, number of bits), eight as one symbol, the rest singly.

        Most of a mask. The library would take two calls a run, and hold Python's lock in them.
        """
        from maskstore.codecs import kernels

        levels, counts = np.array(runs, np.int64).reshape(-1, 2).T
        left, state = self._coder.pos()
        bits, left, state = kernels.take_runs(
            self._words, left, np.uint64(state), levels, counts, *intervals
        )
        self._coder.seek(left, int(state))
        return bits

    @property
    def bits_left(self) -> int:
        """Bits of code that are not taken yet."""
        return int(self._coder.num_valid_bits())

    def finish(self) -> None:
        """Raise CorruptArchive unless the code ends here."""
        if not self._coder.is_empty():
            raise CorruptArchive("entropy code: does not end where the mask ends")
