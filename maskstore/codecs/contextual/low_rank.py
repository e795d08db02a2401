"""The pull of training on the scores of a layer, as a sum of a few outer products.

The gradient of a layer's weights is a sum of (error of a unit) x (input of the unit) over images,
so training pushes the scores of a layer along a matrix of low rank, weight for weight times the
sign of the weight. A handful of small whole numbers per row and column tell the decoder which way,
and how hard, every score was pushed.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16, UInt8

from maskstore.codecs.contextual.vectors import MAX_WIDTH, ideal_bits, put_vectors, take_vectors
from maskstore.codecs.entropy.coder import Decoder, Encoder, uniform

MAX_RANK = 31
STEPS = 8
"""Steps of the size of a pull."""
PULLS = 2 * STEPS
"""What a pull is quantised to: 0 … 7 against, strongest first, and 8 … 15 along."""
_CUT_LIMIT = 129
HEAD_BITS = math.log2(_CUT_LIMIT) * (STEPS - 1) + math.log2(MAX_WIDTH + 1)
"""Of a pull's code, what are no vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Rank-r matrix of whole numbers, rows·columns, and how its entries are quantised.

    Attributes:
        rows: one column vector per rank.
        columns: one row vector per rank.
        width: that of the image whose pixels the columns are; 0 if they are none.
        cuts: STEPS - 1 sizes, not falling; a size belongs to the step of the cuts at or below it.
    """

    rows: Int16[np.ndarray, "m rank"]
    columns: Int16[np.ndarray, "rank n"]
    cuts: tuple[int, ...]
    width: int = 0

    def rows_of_table(self, toward: UInt8[np.ndarray, " n"]) -> UInt8[np.ndarray, " n"]:
        """Each entry as 0 … PULLS - 1, counted along a flip: the row of the table of levels.

        Args:
            toward: 1 where a weight's score grows with the pull, layer's weights row after row.
        """
        from maskstore.codecs import kernels

        entries = np.arange(-128, 128)
        steps = np.searchsorted(np.array(self.cuts), np.abs(entries), side="right")
        lookup = np.where(entries >= 0, STEPS + steps, STEPS - 1 - steps).astype(np.uint8)
        found: UInt8[np.ndarray, " n"] = kernels.pull_rows(
            np.ascontiguousarray(self.rows), self.columns, lookup, np.uint8(PULLS - 1), toward
        )
        return found

    def code_bits(self) -> float:
        """Ideal length of :meth:`put`, in bits."""
        return HEAD_BITS + ideal_bits(self.rows.T, 0) + ideal_bits(self.columns, self.width)

    def put(self, encoder: Encoder) -> None:
        """Append everything but the rank and the shape."""
        encoder.put(uniform(_CUT_LIMIT), self.cuts)
        encoder.put(uniform(MAX_WIDTH + 1), [self.width])
        put_vectors(encoder, self.rows.T, 0)
        put_vectors(encoder, self.columns, self.width)

    @classmethod
    def take(cls, decoder: Decoder, rank: int, shape: tuple[int, int]) -> "Pull":
        """The inverse of :meth:`put`."""
        cuts = tuple(np.sort(decoder.take(uniform(_CUT_LIMIT), STEPS - 1)).tolist())
        width = decoder.take_one(uniform(MAX_WIDTH + 1))
        rows = take_vectors(decoder, rank, shape[0], 0).T
        columns = take_vectors(decoder, rank, shape[1], width)
        return cls(rows=rows, columns=columns, cuts=cuts, width=width)
