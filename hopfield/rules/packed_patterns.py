"""PackedPatterns: ±1 patterns, a bit a unit, and the two products that memories need of them."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float64, Int8, Int64, UInt8

from maskstore.bits import hamming_to_each
from maskstore.errors import InvalidInput

_UNPACKED = 1 << 17
"""Units of all patterns unpacked at a time: 1 MiB as float64, which a cache holds."""


class PackedPatterns:
    """A matrix Z of K patterns × d units, values ±1, that grows by rows.

    Attributes:
        size: d.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._width = (size + 7) // 8
        self._room: UInt8[np.ndarray, "row byte"] = np.zeros((0, self._width), np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> UInt8[np.ndarray, "pattern byte"]:
        """The packed patterns, little-endian bits, a view."""
        return self._room[: self._count]

    def append(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        """Add a pattern of ±1 and of the right length."""
        if self._count == len(self._room):
            more = np.zeros((max(4, len(self._room)), self._width), np.uint8)
            self._room = np.concatenate([self._room, more])
        self._room[self._count] = np.packbits(pattern > 0, bitorder="little")
        self._count += 1

    def extend(self, rows: UInt8[np.ndarray, "pattern byte"]) -> None:
        """Take over packed rows; raises InvalidInput where the padding bits are not zero."""
        if self.size % 8 and (rows[:, -1] >> (self.size % 8)).any():
            raise InvalidInput("Hopfield memory: packed patterns have bits beyond the last unit")
        self._room = np.concatenate([self.rows, rows])
        self._count = len(self._room)

    def pattern(self, index: int) -> Int8[np.ndarray, " unit"]:
        """Row ``index`` of Z."""
        bits = np.unpackbits(self.rows[index], count=self.size, bitorder="little")
        return 2 * bits.view(np.int8) - 1

    def unit(self, unit: int) -> Float64[np.ndarray, " pattern"]:
        """Column ``unit`` of Z."""
        return 2.0 * (self.rows[:, unit // 8] >> (unit % 8) & 1) - 1.0

    def overlaps(self, x: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " pattern"]:
        """Zx."""
        if (np.abs(x) == 1).all():
            return self.agreement(x.astype(np.int8)).astype(np.float64)
        inside = np.zeros(len(self))
        for units, bits in self.chunks(np.arange(len(self))):
            inside += bits @ x[units]
        return 2 * inside - x.sum()

    def agreement(self, z: Int8[np.ndarray, " unit"]) -> Int64[np.ndarray, " pattern"]:
        """Zz for z of ±1, by counting the bits that differ."""
        packed = np.packbits(z > 0, bitorder="little")
        return self.size - 2 * hamming_to_each(self.rows, packed)

    def combine(self, weights: Float64[np.ndarray, " pattern"]) -> Float64[np.ndarray, " unit"]:
        """Zᵀw; patterns of weight 0 are not looked at."""
        total = np.empty(self.size)
        chosen = np.flatnonzero(weights)
        for units, bits in self.chunks(chosen):
            total[units] = weights[chosen] @ bits
        return 2 * total - weights.sum()

    def chunks(
        self, chosen: Int64[np.ndarray, " pattern"]
    ) -> Iterator[tuple[slice, Float64[np.ndarray, "pattern chunk"]]]:
        """(units, their bits as 0 and 1 in those patterns), a bounded number of them at a time."""
        step = max(1, _UNPACKED // 8 // max(1, len(chosen)))
        for start in range(0, self._width, step):
            part = self.rows[:, start : start + step][chosen]
            units = slice(8 * start, min(8 * (start + step), self.size))
            bits = np.unpackbits(part, axis=1, count=units.stop - units.start, bitorder="little")
            yield units, bits.astype(np.float64)
