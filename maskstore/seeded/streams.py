"""Seeded arrays: numbers whose bits are a specification, not a library's random stream.

Every array is a function of (seed, purpose, shape) and the same on every machine. The recipe,
version 1:

1. key = the first 16 bytes, little-endian, of
   sha256("supsup-store seeded v1|" + decimal seed + "|" + purpose), UTF-8.
2. words = Philox4x64-10 (Salmon et al., 2011) under that key, as ``numpy.random.Philox`` delivers
   them: blocks of counter 1, 2, 3, …, four 64-bit words each.
3. word → number, in row-major order, by the transform each function documents. The transforms
   use only exact bit operations and IEEE-754 double ``+ - * / sqrt``, one numpy ufunc each, so no
   compiler contracts them and no mathematics library takes part; one rounding to float32 ends them.
"""

import hashlib
import operator
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from maskstore.errors import InvalidInput
from maskstore.seeded.normal import standard_normal_quantile

_CHUNK = 2**16
"""Words transformed at a time: temporaries stay in the cache. Does not change the result."""


def parse_seed(seed: object) -> int:
    """A seed as an int; raises InvalidInput where it is no whole number or negative."""
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidInput(f"seed: expected a whole number, at least 0, got {seed!r}")
    return number


def stream(seed: int, purpose: str) -> "np.random.Philox":
    """The generator of one purpose under one seed, at its start.

    Args:
        seed: whole number, at least 0.
        purpose: what the numbers are for, such as ``"weights/fc1.weight"``. Two purposes have
            independent streams.

    Raises:
        InvalidInput: the seed is not a whole number or is negative.
    """
    text = f"supsup-store seeded v1|{parse_seed(seed)}|{purpose}"
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Philox(key=key, counter=0)


def uniform(
    seed: int, purpose: str, shape: tuple[int, ...], low: float, high: float
) -> Float32[np.ndarray, "..."]:
    """Evenly spread over [low, high]: ``low + (high - low) * (word >> 11) * 2**-53``."""
    out = np.empty(shape, np.float32)
    width = float(high) - float(low)
    for where, words in _words(seed, purpose, out.size):
        unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        out.reshape(-1)[where] = unit * width + float(low)
    return out


def normal(
    seed: int, purpose: str, shape: tuple[int, ...], std: float
) -> Float32[np.ndarray, "..."]:
    """Normal with mean 0: ``std`` times the normal quantile of ``((word >> 12) + 1/2) * 2**-52``.

    The quantile function is Wichura's AS 241 (PPND16), see :mod:`maskstore.seeded.normal`.
    """
    out = np.empty(shape, np.float32)
    for where, words in _words(seed, purpose, out.size):
        # 52 bits and a half: exact in a double, never 0 or 1, and symmetric about 1/2.
        unit = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        out.reshape(-1)[where] = standard_normal_quantile(unit) * float(std)
    return out


def signs(seed: int, purpose: str, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
    """+1 or -1 evenly: element i is bit i mod 64 (from the lowest) of word i // 64, 1 for +1."""
    out = np.empty(shape, np.float32)
    words = stream(seed, purpose).random_raw(-(-out.size // 64))
    octets = np.asarray(words, "<u8").view(np.uint8)
    bits = np.unpackbits(octets, count=out.size, bitorder="little")
    out.reshape(-1)[:] = bits.astype(np.float32) * 2 - 1
    return out


def permutation(seed: int, purpose: str, n: int) -> Int64[np.ndarray, " n"]:
    """A permutation of 0 … n-1: the stable order of n words."""
    return np.argsort(stream(seed, purpose).random_raw(n), kind="stable").astype(np.int64)


def integers(
    seed: int, purpose: str, shape: tuple[int, ...], high: int
) -> Int64[np.ndarray, "..."]:
    """Whole numbers 0 … high-1: ``word mod high``; uneven by less than ``high * 2**-64``.

    Raises:
        InvalidInput: ``high`` is not in 1 … 2**63.
    """
    if not 1 <= high <= 2**63:
        raise InvalidInput(f"seeded integers: expected 1 <= high <= 2**63, got {high}")
    out = np.empty(shape, np.int64)
    for where, words in _words(seed, purpose, out.size):
        out.reshape(-1)[where] = (words % np.uint64(high)).astype(np.int64)
    return out


def _words(
    seed: int, purpose: str, count: int
) -> Iterator[tuple[slice, UInt64[np.ndarray, " chunk"]]]:
    generator = stream(seed, purpose)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        yield slice(start, stop), generator.random_raw(stop - start)
