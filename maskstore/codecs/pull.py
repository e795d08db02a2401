"""The pull of training on the scores of a layer, as a sum of a few outer products.

The gradient of a layer's weights is a sum of (error of a unit) x (input of the unit) over images,
so training pushes the scores of a layer along a matrix of low rank, weight for weight times the
sign of the weight. A handful of small whole numbers per row and column tell the decoder which way,
and how hard, every score was pushed.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int16, Int64, UInt8

from maskstore.codecs.coder import Decoder, Encoder, Model, model_of, uniform

MAX_RANK = 31
MAX_FACTOR = 7
STEPS = 8
"""Steps of the size of a pull."""
PULLS = 2 * STEPS
"""What a pull is quantised to: 0 … 7 against, strongest first, and 8 … 15 along."""
_CUT_LIMIT = 129
_SCALES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Rank-r matrix of whole numbers, rows·columns, and how its entries are quantised.

    Attributes:
        rows: one column vector per rank.
        columns: one row vector per rank.
        cuts: STEPS - 1 sizes, not falling; a size belongs to the step of the cuts at or below it.
    """

    rows: Int16[np.ndarray, "m rank"]
    columns: Int16[np.ndarray, "rank n"]
    cuts: tuple[int, ...]

    def matrix(self) -> Int8[np.ndarray, "m n"]:
        """Its entries, the largest cut down to -128 … 127.

        They are whole numbers so small that float32 gives them exactly, in any order of summing.
        """
        product = self.rows.astype(np.float32) @ self.columns.astype(np.float32)
        return np.clip(product, -128, 127, out=product).astype(np.int8)

    def quantised(self) -> UInt8[np.ndarray, "m n"]:
        """Each entry as 0 … PULLS - 1, for a weight whose score grows with the pull."""
        # The byte of an entry is its own index: 0 … 127, then -128 … -1.
        sizes = np.abs(np.concatenate([np.arange(128), np.arange(-128, 0)]))
        steps = np.searchsorted(np.array(self.cuts), sizes, side="right").astype(np.uint8)
        lookup = np.where(np.arange(256) < 128, STEPS + steps, STEPS - 1 - steps)
        return translate(lookup.astype(np.uint8), self.matrix().view(np.uint8))

    def code_bits(self) -> float:
        """Ideal length of :meth:`put`, in bits."""
        vectors = [*self.rows.T, *self.columns]
        return sum(map(ideal_bits, vectors)) + math.log2(_CUT_LIMIT) * len(self.cuts)

    def put(self, encoder: Encoder) -> None:
        """Append everything but the rank and the shape."""
        encoder.put(uniform(_CUT_LIMIT), self.cuts)
        for vectors in (self.rows.T, self.columns):
            for vector in vectors:
                counts = _counts(vector)
                scale = _scale(counts)
                encoder.put(uniform(MAX_FACTOR), [len(scale) // 2 - 1])
                encoder.put(uniform(_SCALES), scale)
                encoder.put(_by_scale(tuple(scale)), vector.astype(np.int32) + len(scale) // 2)

    @classmethod
    def take(cls, decoder: Decoder, rank: int, shape: tuple[int, int]) -> "Pull":
        """The inverse of :meth:`put`."""
        cuts = tuple(np.sort(decoder.take(uniform(_CUT_LIMIT), STEPS - 1)).tolist())
        sides = []
        for length in shape:
            vectors = np.empty((rank, length), np.int16)
            for vector in vectors:
                limit = decoder.take_one(uniform(MAX_FACTOR)) + 1
                scale = decoder.take(uniform(_SCALES), 2 * limit + 1).tolist()
                vector[:] = decoder.take(_by_scale(tuple(scale)), length) - limit
            sides.append(vectors)
        return cls(rows=np.ascontiguousarray(sides[0].T), columns=sides[1], cuts=cuts)


def ideal_bits(vector: Int16[np.ndarray, " n"]) -> float:
    """Code length of one vector of a pull."""
    counts = _counts(vector)
    scale = _scale(counts)
    logs = np.array(scale, np.float64)
    own = np.log2(np.exp2(logs).sum()) - logs
    return float(own @ counts) + math.log2(MAX_FACTOR) + math.log2(_SCALES) * len(scale)


def _counts(vector: Int16[np.ndarray, " n"]) -> Int64[np.ndarray, " numbers"]:
    """How often each of -limit … limit occurs."""
    limit = max(1, int(np.abs(vector).max()))
    return np.bincount(vector.astype(np.int64) + limit, minlength=2 * limit + 1)


def _scale(counts: Int64[np.ndarray, " numbers"]) -> list[int]:
    """Frequencies as powers of two, the most frequent as 2**15."""
    relative = np.log2(np.maximum(counts, 1e-9) / counts.max())
    return np.clip(np.rint(relative) + _SCALES - 1, 0, _SCALES - 1).astype(int).tolist()


def _by_scale(scale: tuple[int, ...]) -> Model:
    return model_of([1 << each for each in scale])


def translate(
    lookup: UInt8[np.ndarray, "256"], indices: UInt8[np.ndarray, "..."]
) -> UInt8[np.ndarray, "..."]:
    """``lookup[indices]``, four times as fast."""
    octets = indices.tobytes().translate(lookup.tobytes())
    return np.frombuffer(octets, np.uint8).reshape(indices.shape)
