"""Where training starts: initial scores that a seed regenerates.

A mask differs from that of its initial scores only where training changed it, so whoever reads
the archive can regenerate most of a mask from the few numbers recorded here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from maskstore.errors import CorruptArchive, InvalidInput
from maskstore.layout import MaskLayout
from maskstore.seeded import streams as seeded


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStart:
    """Initial scores, uniform in ±1/sqrt(fan_in), one stream per layer.

    That is the reference's ``kaiming_uniform_(a=sqrt(5))``. fan_in is the product of all axes but
    the first; for a layer with one axis (one score a neuron) it is its length.

    Attributes:
        seed: whole number, at least 0.
        stream: layer ``name`` is drawn for the purpose ``stream + "/" + name``, see
            :mod:`maskstore.seeded.streams`. Tasks with the same stream start from the same scores.

    Raises:
        InvalidInput: the seed or the stream cannot be used.
    """

    seed: int
    stream: str = "scores"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", seeded.parse_seed(self.seed))
        if not isinstance(self.stream, str) or not self.stream.isprintable() or not self.stream:
            raise InvalidInput(f"score stream: expected printable text, got {self.stream!r}")

    def draw(self, layout: MaskLayout) -> dict[str, Float32[np.ndarray, "..."]]:
        """The initial scores of every layer."""
        scores = {}
        for name, shape in layout.shapes.items():
            bound = 1.0 / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else shape[0])
            purpose = f"{self.stream}/{name}"
            scores[name] = seeded.uniform(self.seed, purpose, shape, -bound, bound)
        return scores

    def top_bytes(self, name: str, count: int) -> UInt8[np.ndarray, " count"]:
        """The highest byte of the word behind each score of a layer: its order, in integers.

        A score grows with its word; it is not negative where the word's highest bit is set (but
        for one word in 2**53, whose score rounds to 0).
        """
        words = seeded.stream(self.seed, f"{self.stream}/{name}").random_raw(count)
        return (words >> np.uint64(56)).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        """The start as JSON."""
        return {"seed": self.seed, "stream": self.stream}

    @classmethod
    def from_json(cls, value: object) -> "ScoreStart":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        if not isinstance(value, dict) or value.keys() != {"seed", "stream"}:
            raise InvalidInput(f"score start: expected seed and stream, got {value!r:.80}")
        return cls(**value)


_DEFAULT_STREAM = "scores"
_MAX_SEED_BYTES = 8


def put_start(start: ScoreStart) -> bytes | None:
    """The bytes of a start, or None for a seed or a stream that is too long.

    One byte: the length of the seed (0 … 8 bytes, little-endian) times 2, plus 1 if a stream other
    than ``scores`` follows; the seed; then, in that case, the stream's length and UTF-8.
    """
    seed = start.seed.to_bytes((start.seed.bit_length() + 7) // 8, "little")
    stream = start.stream.encode()
    if len(seed) > _MAX_SEED_BYTES or len(stream) > 255:
        return None
    named = start.stream != _DEFAULT_STREAM
    return bytes([2 * len(seed) + named]) + seed + (bytes([len(stream)]) + stream) * named


def take_start(stored: bytes) -> tuple[ScoreStart, bytes]:
    """The start and what comes after it.

    Raises:
        CorruptArchive: no start, or one that :func:`put_start` does not write.
    """
    seed_bytes, named = divmod(stored[0], 2) if stored else (_MAX_SEED_BYTES + 1, 0)
    end = 1 + seed_bytes
    stream_end = end + 1 + stored[end] if named and end < len(stored) else end
    if seed_bytes > _MAX_SEED_BYTES or end + named > len(stored) or stream_end > len(stored):
        raise CorruptArchive("seeded mask: its start is cut off")
    stream = stored[end + 1 : stream_end] if named else _DEFAULT_STREAM.encode()
    try:
        start = ScoreStart(seed=int.from_bytes(stored[1:end], "little"), stream=stream.decode())
    except (InvalidInput, UnicodeDecodeError) as error:
        raise CorruptArchive(f"seeded mask: unusable start ({error})") from error
    return start, stored[stream_end:]
