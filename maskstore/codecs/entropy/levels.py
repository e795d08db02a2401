"""Probability levels: the 127 probabilities that a bit of a mask can have, and its code under them.

Level l stands for P(bit = 1) = NUMERATORS[l] / 2**20, evenly spaced in the logit, level 64 for one
half. The nearest level costs at most 0.15% more than the exact probability, from 2e-5 to 1 - 2e-5.
"""

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, UInt8

from maskstore.codecs.entropy.coder import (
    Decoder,
    Encoder,
    Intervals,
    Model,
    model_of,
    probabilities_of,
)

_ONE = 1 << 20
# round(2**20 / (1 + exp(-0.175 * (l - 64)))) for l = 1 … 63, written out: a specification.
# fmt: off
_BELOW_HALF = (
    17, 20, 24, 29, 34, 41, 49, 58, 69, 83, 98, 117, 139, 166, 198, 236, 281, 334, 398,
    475, 565, 673, 802, 955, 1138, 1355, 1614, 1922, 2289, 2725, 3245, 3863, 4599, 5474,
    6514, 7751, 9220, 10965, 13036, 15492, 18402, 21848, 25924, 30736, 36410, 43087,
    50927, 60109, 70828, 83297, 97743, 114396, 133489, 155239, 179836, 207425, 238087,
    271817, 308507, 347930, 389739, 433463, 478530,
)
# fmt: on
NUMERATORS = (0, *_BELOW_HALF, _ONE // 2, *(_ONE - p for p in reversed(_BELOW_HALF)))
"""By level; index 0 is not a level."""

_P = np.array(NUMERATORS[1:]) / _ONE
BITS_OF_ONE: Float64[np.ndarray, "127"] = -np.log2(_P)
"""Ideal code length of a set bit under levels 1 … 127; for estimates."""
BITS_OF_ZERO: Float64[np.ndarray, "127"] = -np.log2(1.0 - _P)
"""The same of a clear bit."""
HALF = 64
LEVELS = 127


def level_of(ones: int, bits: int) -> int:
    """The cheapest level for ``ones`` set bits among ``bits``."""
    return 1 + int(np.argmin(ones * BITS_OF_ONE + (bits - ones) * BITS_OF_ZERO))


def _octet_weights(level: int) -> list[int]:
    """Of eight independent bits as one symbol, by how many of them are set."""
    one = NUMERATORS[level]
    return [one**k * (_ONE - one) ** (8 - k) for k in range(9)]


@cache
def _byte_model(level: int) -> Model:
    """Eight independent bits as one symbol: the byte's value."""
    by_count = _octet_weights(level)
    return model_of([by_count[byte.bit_count()] for byte in range(256)])


@cache
def _bit_model(level: int) -> Model:
    return model_of([_ONE - NUMERATORS[level], NUMERATORS[level]])


@cache
def _intervals() -> Intervals:
    """:func:`_byte_model` and :func:`_bit_model` of all levels."""
    octet = np.empty((LEVELS, 256), np.uint32)
    for level in range(1, LEVELS + 1):
        by_count = _octet_weights(level)
        octet[level - 1] = np.cumsum(
            probabilities_of([by_count[byte.bit_count()] for byte in range(256)])
        )
    clear = [
        probabilities_of([_ONE - NUMERATORS[level], NUMERATORS[level]])[0]
        for level in range(1, LEVELS + 1)
    ]
    return Intervals(octet=octet, clear=np.array(clear, np.uint32))


Runs: TypeAlias = Sequence[tuple[int, int]]
"""(level, number of bits) of one stretch of bits after another."""


def put_bits(encoder: Encoder, runs: Runs, bits: UInt8[np.ndarray, " n"]) -> None:
    """Append bits (0 or 1), run after run: whole bytes, the first bit lowest, then what is left."""
    at = 0
    for level, count in runs:
        whole = at + count // 8 * 8
        encoder.put(_byte_model(level), np.packbits(bits[at:whole], bitorder="little"))
        encoder.put(_bit_model(level), bits[whole : at + count])
        at += count


def take_bits(decoder: Decoder, runs: Runs) -> UInt8[np.ndarray, " n"]:
    """The inverse of :func:`put_bits`."""
    return decoder.take_runs(runs, _intervals())
